"""Log lines that nobody reads are held, dropped and counted; whoever logs never waits."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator

import httpx
import pytest

from service.line_writer import LineWriter
from tests.serving import serving


class Pipe:
    """A pipe in the place of standard error."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def fileno(self) -> int:
        """Where lines go."""
        return self.writing


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """What nobody reads."""
    made = Pipe()
    yield made
    os.close(made.reading)


def test_a_full_pipe_blocks_nobody_and_what_is_lost_is_counted(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", pipe)
    writer = LineWriter(held_bytes=1 << 20)
    line = b"x" * 999 + b"\n"
    for _ in range(5000):
        writer.put(line)
    assert 3700 <= writer.dropped <= 4000  # a pipe holds 64 KiB, and the bound the rest
    taken = bytearray()

    def read() -> None:
        while part := os.read(pipe.reading, 1 << 16):
            taken.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    writer.flush(60)
    os.close(pipe.writing)
    reader.join()
    assert taken.count(b"\n") == 5000 - writer.dropped
    assert set(bytes(taken).split(b"\n")) == {b"x" * 999, b""}


def test_a_closed_pipe_loses_lines_and_nothing_else(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", pipe)
    reading, writing = os.pipe()
    os.close(pipe.reading)
    pipe.reading = reading
    writer = LineWriter()
    for at in range(3):
        writer.put(b"line\n")
        writer.flush(60)
        assert writer.dropped == at + 1
    os.close(pipe.writing)
    os.close(writing)


def test_a_server_whose_log_nobody_reads_goes_on() -> None:
    line = {"loss": "mse_loss", "input": [3.0], "target": [1.0]}
    path = "/" + "p" * 8000
    with (
        serving(GRADWIRE_LOG_FORMAT="json", GRADWIRE_LOG_LEVEL="debug") as server,
        server._new,  # what reads its log waits for this
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        for _ in range(300):  # 2.4 MB of log, far beyond a pipe
            assert http.get(path).status_code == 404
        assert http.post("/v1/loss", json=line).status_code == 200
    assert json.loads(server.lines[-1])
