"""Garbage is looked for neither while a server process starts nor when it has ended."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from service import cli
from service.http.app import create_app
from service.serving import worker
from service.serving.early import collect_no_garbage
from service.serving.server import Server
from service.settings import Settings


class Reached(Exception):
    pass


def reach(*_: object) -> None:
    raise Reached


@pytest.fixture(autouse=True)
def _collecting_afterwards() -> Iterator[None]:
    yield
    gc.enable()


@pytest.fixture
def server() -> Server:
    settings = Settings(
        device="cpu", access_log=False, log_level="error", drain_grace_seconds=0, drain_seconds=0, engine="direct"
    )
    made = Server(create_app(settings), settings, None)
    made.config.load()
    return made


@pytest.mark.parametrize(("arguments", "collects"), [(["serve"], False), (["losses"], True)])
def test_the_command_puts_it_off_where_it_serves(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], collects: bool
) -> None:
    monkeypatch.setattr(cli, "end_at_once_on_signals", lambda: None)
    monkeypatch.setattr(cli, "app", reach)
    monkeypatch.setattr(sys, "argv", ["gradwire", *arguments])
    with pytest.raises(Reached):
        cli.main()
    assert gc.isenabled() == collects


def test_a_worker_puts_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "end_at_once_on_signals", lambda: None)
    monkeypatch.setattr(worker, "signal", SimpleNamespace(signal=reach, SIGINT=None, SIG_IGN=None))
    with pytest.raises(Reached):
        worker.main()
    assert not gc.isenabled()


def test_a_server_that_has_started_collects(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    seen = []

    async def start(*_: Any) -> None:
        seen.append(gc.isenabled())

    monkeypatch.setattr(uvicorn.Server, "startup", start)
    collect_no_garbage()
    asyncio.run(server.startup())
    assert seen == [False]
    assert gc.isenabled()


def test_what_a_server_leaves_at_its_end_is_not_walked(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr(
        "service.serving.server.threading", SimpleNamespace(Thread=lambda **_: SimpleNamespace(start=int))
    )
    told: list[str] = []

    async def end() -> None:
        told.append("lifespan")

    async def drained() -> None:
        server.servers = []
        server._ticking = asyncio.create_task(asyncio.sleep(60))
        server.lifespan = SimpleNamespace(shutdown=end)  # all that is asked of it
        await server.shutdown()

    gc.unfreeze()
    try:
        asyncio.run(drained())
        assert told == ["lifespan"]
        assert gc.get_freeze_count() > 0
    finally:
        gc.freeze()  # as it was: tests/conftest.py
