"""The application in this process: httpx over ASGI, the lifespan run, one event loop for all calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Self, TypeVar

import httpx
from fastapi import FastAPI

from service.engine import Engine
from service.http.app import create_app
from service.settings import Settings

T = TypeVar("T")

PROBLEM_MEMBERS = {"type", "title", "status", "detail", "instance"}


def strict(text: str | bytes) -> Any:
    """Read JSON; a bare NaN or Infinity is no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"a bare {constant} is no JSON: {text!r}")

    return json.loads(text, parse_constant=refuse)


def problem_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer, once it is seen to be one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    document: dict[str, Any] = strict(response.content)
    assert document.keys() >= PROBLEM_MEMBERS, document
    assert document["status"] == status
    assert document["type"] == "about:blank"
    assert document["instance"] == response.request.url.path
    assert document["title"]
    assert document["detail"]
    return document


def pointers(problem: dict[str, Any]) -> dict[str, str]:
    """What is wrong, by JSON pointer."""
    return {error["pointer"]: error["detail"] for error in problem["errors"]}


class InProcess:
    """A synchronous client of the application; a context manager that runs its lifespan."""

    def __init__(self, settings: Settings | None = None, engine: Engine | None = None) -> None:
        if settings is None:
            settings = Settings(device="cpu", access_log=False, log_level="error")
        self.app: FastAPI = create_app(settings, engine)
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        try:
            self.http = self.run(self._start())
        except BaseException:
            self.__exit__()
            raise
        return self

    async def _start(self) -> httpx.AsyncClient:
        async with asyncio.timeout(20):  # a guard against hanging
            await self._stack.enter_async_context(self.app.router.lifespan_context(self.app))
        transport = httpx.ASGITransport(self.app)
        return await self._stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://gradwire"))

    def __exit__(self, *_: object) -> None:
        self.run(self._stack.aclose())
        self._runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Await it on the application's loop.

        Not by the runner's own `run`, which sets a signal's handler at each call: a third of a small request's time.
        """
        return self._runner.get_loop().run_until_complete(call)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request; options are httpx's."""
        return self.run(self.http.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Read something."""
        return self.request("GET", path, **options)

    def post(self, body: bytes, path: str = "/v1/loss", **headers: str) -> httpx.Response:
        """Send a body as it is, as JSON."""
        named = {"content-type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self.request("POST", path, content=body, headers=named)

    def answer(self, loss: str | None = None, path: str = "/v1/loss", /, **members: Any) -> dict[str, Any]:
        """The answer to a request that must succeed."""
        named = members if loss is None else {"loss": loss, **members}
        response = self.post(json.dumps(named, allow_nan=False).encode(), path)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        found: dict[str, Any] = strict(response.content)
        return found

    def refusal(self, status: int, loss: str | None = None, path: str = "/v1/loss", /, **members: Any) -> Any:
        """The problem document of a request that must fail."""
        named = members if loss is None else {"loss": loss, **members}
        return problem_of(self.post(json.dumps(named, allow_nan=False).encode(), path), status)

    def faults(self, loss: str | None = None, path: str = "/v1/loss", /, **members: Any) -> dict[str, str]:
        """What a 422 lists, by JSON pointer."""
        return pointers(self.refusal(422, loss, path, **members))
