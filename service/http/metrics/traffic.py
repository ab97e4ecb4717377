"""Every request that is answered: counted by where it went and what came of it.

Used on the event loop alone, for every request: a look into one dictionary and an addition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.types import Scope

from schemas.losses import LOSSES
from schemas.operations import OPERATIONS
from service.engine.tally import SECONDS, Histogram
from service.http.metrics.snapshot import Snapshot

OTHER: Final = "other"
NO_LOSS: Final = "none"

METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"))
COMPUTED: Final = frozenset((*LOSSES, *OPERATIONS))
LABELS: Final = frozenset((*COMPUTED, "batch"))
"""What `gradwire.loss` may be: a loss, or a batch call."""


class Traffic:
    """The requests of this process.

    In the scope, `gradwire.received` and `gradwire.sent` are the bytes of the bodies, `gradwire.loss` the loss.
    """

    def __init__(self, templates: dict[str, str], failed: Callable[[str, float], None]) -> None:
        self._templates = templates
        """The routes' templates by path, where the path alone tells."""
        self._failed = failed
        """Counts a request for a loss that failed, with its seconds."""
        self._answered: dict[tuple[str, str, int, str], Histogram] = {}
        self.received = 0
        self.sent = 0

    def count(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        """One request, answered or left."""
        route = self._templates.get(scope["path"]) or self.route(scope)
        key = (route, method, status, scope.get("gradwire.loss", NO_LOSS))
        answered = self._answered.get(key)
        if answered is None:
            answered = self._first(key)
        answered.observe(seconds)
        if status >= 400 and status != 499 and key[3] in COMPUTED:
            self._failed(key[3], seconds)
        self.received += scope.get("gradwire.received", 0)
        self.sent += scope.get("gradwire.sent", 0)

    def route(self, scope: Scope) -> str:
        """The template of the route that a request went to; `other` where there is none."""
        template = self._templates.get(scope["path"])
        if template is None:
            template = getattr(scope.get("route"), "path", OTHER)
        return template

    def _first(self, key: tuple[str, str, int, str]) -> Histogram:
        route, method, status, loss = key
        bounded = (route, method if method in METHODS else OTHER, status, loss if loss in LABELS else NO_LOSS)
        return self._answered.setdefault(bounded, Histogram(SECONDS))

    def told(self, snapshot: Snapshot) -> None:
        """Add all of it to a snapshot."""
        for (route, method, status, loss), answered in self._answered.items():
            snapshot.count("gradwire_requests_total", sum(answered.counts), route, method, str(status), loss)
            snapshot.histogram("gradwire_request_duration_seconds", answered, route)
        snapshot.count("gradwire_received_bytes_total", self.received)
        snapshot.count("gradwire_sent_bytes_total", self.sent)
