"""`gradwire serve` from its settings to its end."""

from __future__ import annotations

import gc
import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from service.access.ledger import QUOTAS, shared_file
from service.serving import heap
from service.serving.ends import NOT_STARTED
from service.serving.listening import listen, url, warn_if_open
from service.serving.tls import BadTLS, tls_context
from service.serving.workers import Workers
from service.settings import Settings
from service.telemetry import configure

if TYPE_CHECKING:
    from service.serving.server import Server

METRICS_DIR: Final = "GRADWIRE_METRICS_DIR"


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
    server = _server(settings, context) if alone else None
    try:
        listening = listen(settings)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CannotServe(f"cannot listen on {settings.host} port {settings.port}: {reason}") from None
    with listening:
        shown = url(listening, "http" if context is None else "https")
        print(f"Gradwire {version('gradwire')} on {shown} (documentation at /docs)", flush=True)
        warn_if_open(listening, guarded=_has_keys(settings) or bool(settings.tls_ca_file))
        if server is None:
            gc.enable()  # `early` has put it off; a process that serves itself turns it on when it has started
            with _places_to_share(settings):
                return Workers(settings, listening).run()
        server.run(sockets=[listening])
        return 0 if server.started else NOT_STARTED


def _server(settings: Settings, context: ssl.SSLContext | None) -> Server:
    """The server of this process. torch is imported here: the parent of workers does without its 2 s and 200 MB."""
    from service.http.app import create_app  # noqa: PLC0415
    from service.serving.server import Server  # noqa: PLC0415

    return Server(create_app(settings), settings, context)


def _has_keys(settings: Settings) -> bool:
    """Whether callers must show a key."""
    return bool(settings.api_keys or settings.api_keys_file)


@contextmanager
def _places_to_share(settings: Settings) -> Iterator[None]:
    """Where the quotas and the metrics of several workers meet, for as long as they live. Raises `CannotServe`."""
    with ExitStack() as stack:
        try:
            if _has_keys(settings):
                os.environ[QUOTAS] = str(stack.enter_context(shared_file()))
            if not settings.metrics_dir:
                place = TemporaryDirectory(prefix="gradwire-metrics-", ignore_cleanup_errors=True)
                os.environ[METRICS_DIR] = stack.enter_context(place)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CannotServe(f"there is no place for what workers share: {reason}") from None
        yield
