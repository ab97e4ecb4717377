"""The routes of what computes: served by their paths alone, documented when someone asks for the document."""

from __future__ import annotations

from collections.abc import Callable

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Receive, Scope, Send


class ComputeRoute(Route):
    """A path whose POSTs `Gradwire.dispatch` gives to `Computing`.

    FastAPI's own handling of a request would parse the body with another JSON reader, validate it without the reader's
    context, and serialise the answer's numbers one by one. Its route is made of `documented` for the OpenAPI document
    alone, as it builds validators that nothing else uses; without `documented`, the document does not tell of it.
    `allow`: the methods of the path.
    """

    def __init__(self, path: str, documented: Callable[[], APIRoute] | None = None, *, allow: str = "POST") -> None:
        super().__init__(path, _unserved, methods=["POST"])
        self.documented = documented
        self._allow = allow

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what `Gradwire.dispatch` has not served."""
        scope["route"] = self  # as FastAPI's own do: metrics tell of it
        raise self.refusal(scope)

    def refusal(self, scope: Scope) -> Exception:
        """What such a request is answered with: it has another method."""
        return HTTPException(405, headers={"allow": self._allow})


async def _unserved() -> None:
    """What Starlette's route asks for: `handle` does not get to it."""
