"""Clients of the service: of a server, or of the same application within this process, called without a socket."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final
from urllib.request import getproxies

import httpx

from service.evaluate.faults import Failed, Misused

SECONDS: Final = httpx.Timeout(120, connect=10, pool=None)
"""How long a server may be silent; waiting for a free connection has no bound."""
ALONE: Final[dict[str, Any]] = {
    "api_keys": "",
    "api_keys_file": "",
    "access_log": False,
    "log_level": "error",
    "metrics": False,
    "default_timeout_ms": 0,
}
"""Settings of an application that one caller has to itself."""


@asynccontextmanager
async def of_server(url: str, api_key: str | None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the server at that URL. Raises `Misused` where it is none."""
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        client = httpx.AsyncClient(base_url=url, headers=headers, timeout=SECONDS, verify=_trusted(url))
    except (httpx.InvalidURL, UnicodeEncodeError) as error:
        raise Misused(f"server {url}: {error}") from None
    if client.base_url.scheme not in ("http", "https") or not client.base_url.host:
        raise Misused(f"server {url}: a URL such as https://losses.example is needed")
    async with client:
        yield client


def _trusted(url: str) -> ssl.SSLContext | bool:
    """Whom to trust: the usual authorities, which take a while to load; where no TLS can come up, nobody."""
    plain = url.lower().startswith("http:") and not getproxies()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True


@asynccontextmanager
async def here(database: str | None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application in this process, which keeps runs in that database or the configured one.

    Raises `Misused` where a setting is wrong, `Failed` where the application cannot start.
    """
    # torch takes seconds to import, which those who speak to a server need not wait.
    from pydantic import ValidationError  # noqa: PLC0415

    from service.http.app import create_app  # noqa: PLC0415
    from service.settings import Settings  # noqa: PLC0415

    given = ALONE if database is None else ALONE | {"database_url": database}
    try:
        app = create_app(Settings(**given))
    except ValidationError as error:
        first = error.errors()[0]
        raise Misused(f"setting {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(app.router.lifespan_context(app))
        except Exception as error:
            raise Failed(f"the service cannot start here: {error}") from error
        transport = httpx.ASGITransport(app)
        yield await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://gradwire"))
