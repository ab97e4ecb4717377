"""One of several server processes. Its parent starts it: `python -m service.serving.worker LISTENER LINE`.

LISTENER is the listening socket's descriptor, LINE that of a socket to the parent: on it the worker sends a byte every
second, and finds it closed when the parent has died.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import suppress

from service.serving import heap
from service.serving.early import ENDING, collect_no_garbage, end_at_once_on_signals


def main() -> None:
    """Serve until told to end."""
    end_at_once_on_signals()
    collect_no_garbage()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches every process of the terminal; the parent tells us
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*ENDING, signal.SIGHUP})
    heap.set_options()
    listening, line = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    line.setblocking(True)
    threading.Thread(target=_end_with_parent, args=(line,), daemon=True).start()

    # After the handlers: these take seconds.
    from service.http.app import create_app
    from service.serving.ends import NOT_STARTED
    from service.serving.server import Server
    from service.serving.tls import tls_context
    from service.settings import Settings

    settings = Settings()
    server = Server(create_app(settings), settings, tls_context(settings), alone=False)
    server.beat = lambda: _beat(line)
    server.run(sockets=[listening])
    if not server.started:
        sys.exit(NOT_STARTED)


def _beat(line: socket.socket) -> None:
    # A parent that is stopped reads nothing; one that has died is the other thread's matter.
    with suppress(OSError):
        line.send(b".", socket.MSG_DONTWAIT)


def _end_with_parent(line: socket.socket) -> None:
    with suppress(OSError):
        line.recv(1)  # nothing is ever sent: it returns when the parent has died
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
