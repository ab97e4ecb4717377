"""How a server ends: what it answers after SIGTERM, what it refuses, and by which code it exits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.asgi import problem_of
from tests.e2e.test_wire import BODY, Caller, post
from tests.serving import COMMAND, RunningServer, environment, serving


def told_to_end(running: RunningServer, number: int = signal.SIGTERM) -> None:
    """Signal it, and wait until it has begun to drain."""
    running.process.send_signal(number)
    running.logged("draining")


def refused(caller: Caller) -> str:
    """The detail of a refusal with 503 that closes the connection."""
    status, headers, body = caller.answer()
    assert status == 503, body
    assert headers["content-type"] == "application/problem+json"
    assert headers["retry-after"] == "1"
    assert headers["connection"] == "close"
    assert caller.stream.read() == b""
    return body.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_had_begun_is_answered_and_all_else_refused_until_the_end(number: int) -> None:
    large = post(b" " * 300_000 + BODY)
    with (
        serving() as running,
        Caller(running) as idle,
        Caller(running) as begun,
        Caller(running) as direct,
        Caller(running) as heading,
    ):
        idle.send(post())
        assert idle.loss() == 4.0
        begun.send(post()[:-5])
        direct.send(large[:200_000])  # received into one piece of memory by now, beside the HTTP parser
        heading.send(post()[:20])
        httpx.get(f"{running.url}/livez", timeout=60).raise_for_status()  # so they are read
        told_to_end(running, number)
        assert idle.stream.read() == b""  # closed: nothing was asked
        ready = httpx.get(f"{running.url}/readyz", timeout=60)
        assert problem_of(ready, 503)["detail"] == "the service is stopping"
        assert ready.headers["connection"] == "close"
        problem_of(httpx.get(f"{running.url}/v2/health/ready", timeout=60), 503)
        alive = httpx.get(f"{running.url}/livez", timeout=60)
        assert (alive.status_code, alive.headers["connection"]) == (200, "close")
        with Caller(running) as late:
            late.send(post())
            assert "stopping" in refused(late)
        heading.send(post()[20:])
        assert "stopping" in refused(heading)
        begun.send(post()[-5:])
        assert begun.loss() == 4.0
        assert begun.stream.read() == b""
        direct.send(large[200_000:])
        assert direct.loss() == 4.0
        assert direct.stream.read() == b""
        assert running.process.wait() == 0
    assert not any("Traceback" in line for line in running.lines), running.lines


def test_what_is_unfinished_at_the_bound_is_refused_without_a_traceback() -> None:
    with (
        serving(GRADWIRE_DRAIN_SECONDS="1") as running,
        Caller(running) as small,
        Caller(running) as large,
        Caller(running) as silent,
    ):
        small.send(post()[:-5])
        large.send(post(b" " * 200_000 + BODY)[:100_000])
        httpx.get(f"{running.url}/livez", timeout=60).raise_for_status()
        running.process.send_signal(signal.SIGTERM)
        assert "stopping" in refused(small)
        assert large.stream.read() == b""
        assert silent.stream.read() == b""
        assert running.process.wait() == 0
    assert not any("Traceback" in line or "Exception" in line for line in running.lines), running.lines


def test_in_the_grace_it_takes_work_though_unready_and_a_second_signal_ends_it_at_once() -> None:
    with (
        serving(GRADWIRE_DRAIN_GRACE_SECONDS="600", ends_with=128 + signal.SIGTERM) as running,
        Caller(running) as kept,
    ):
        kept.send(post())
        assert kept.loss() == 4.0
        told_to_end(running)
        problem_of(httpx.get(f"{running.url}/readyz", timeout=60), 503)
        kept.send(post())
        status, headers, _ = kept.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert kept.stream.read() == b""
        with Caller(running) as new:
            new.send(post())
            assert new.loss() == 4.0
        running.process.send_signal(signal.SIGTERM)
        running.process.wait()


CAUGHT = r"SigCgt:\s*[0-9a-f]{12}[4-7c-f][0-9a-f]{3}"
"""Where the kernel tells that a process handles SIGTERM, the 15th signal."""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_while_it_starts_ends_it_with_0(workers: str) -> None:
    command = [COMMAND, "serve", "--port", "0", "--device", "cpu", "--workers", workers]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # Amid the import of torch; the parent of workers imports none, and is as far once it has its first handlers.
        place, text = ("maps", "libtorch") if workers == "1" else ("status", CAUGHT)
        while not re.search(text, Path(f"/proc/{process.pid}/{place}").read_text()):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def test_a_signal_before_the_engine_is_up_ends_it_with_0() -> None:
    command = [COMMAND, "serve", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"Gradwire ")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() == 0
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
