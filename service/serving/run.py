"""`gradwire serve` from its settings to its end."""

from __future__ import annotations

import os
from importlib.metadata import version

from service.access.ledger import shared_file
from service.http.access import QUOTAS
from service.http.app import create_app
from service.serving import heap
from service.serving.listening import listen, url, warn_if_open
from service.serving.server import Server
from service.serving.tls import BadTLS, tls_context
from service.serving.workers import Workers
from service.settings import Settings
from service.telemetry import configure

KEYS = ("api_keys", "api_keys_file")
"""The settings that make callers show a key."""
NOT_STARTED = 3
"""The exit code where the engine does not start."""


class CannotServe(Exception):
    """The settings ask for what cannot be; the message is for people."""


def run(settings: Settings) -> int:
    """Serve until a signal ends it; the exit code. Raises `CannotServe`."""
    heap.set_options()
    configure(settings.log_level, settings.log_format)
    try:
        context = tls_context(settings)
    except BadTLS as error:
        raise CannotServe(str(error)) from None
    alone = settings.workers == 1
    server = Server(create_app(settings), settings, context) if alone else None
    try:
        listening = listen(settings)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CannotServe(f"cannot listen on {settings.host} port {settings.port}: {reason}") from None
    shown = url(listening, "http" if context is None else "https")
    print(f"Gradwire {version('gradwire')} on {shown} (documentation at /docs)", flush=True)
    warn_if_open(listening, guarded=any(getattr(settings, name, "") for name in KEYS))
    if server is None:
        with shared_file() as quotas:
            os.environ[QUOTAS] = str(quotas)
            return Workers(settings, listening).run()
    server.run(sockets=[listening])
    return 0 if server.started else NOT_STARTED
