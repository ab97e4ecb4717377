"""Several worker processes: any of them tells the sum of all, and no counter goes down when one is killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.serving import RunningServer, serving

REQUEST = {"loss": "mse_loss", "input": [3.0], "target": [1.0]}
SENT = 40


def scrape(server: RunningServer) -> dict[str, float]:
    """Some figures, over a new connection, which any process may take."""
    text = httpx.get(f"{server.url}/metrics", timeout=60).text
    found = {family.name: family for family in text_string_to_metric_families(text)}
    answered = [sample.value for sample in found["gradwire_losses"].samples if sample.labels == LABELS]
    durations = [
        sample.value
        for sample in found["gradwire_request_duration_seconds"].samples
        if sample.name.endswith("_count") and sample.labels == {"route": "/v1/loss"}
    ]
    return {
        "answered": sum(answered),
        "durations": sum(durations),
        "cpu": found["process_cpu_seconds"].samples[0].value,
        "processes": found["gradwire_processes"].samples[0].value,
    }


LABELS = {"loss": "mse_loss", "outcome": "answered"}


def workers(directory: Path) -> set[int]:
    """The processes that have taken a place, by their files."""
    return {int(path.name.split("-")[0]) for path in directory.glob("*.alive")}


def agreed(server: RunningServer, answered: float, processes: int) -> None:
    """Wait until scrapes one after the other tell this; no counter may go down on the way."""
    last: dict[str, float] = {}
    right = 0
    until = time.monotonic() + 120
    while right < 12:  # so that either process was asked, all but surely
        found = scrape(server)
        for name in ("answered", "durations"):
            assert found[name] >= last.get(name, 0.0), (name, last, found)
            assert found[name] <= answered
        last = found
        done = (found["answered"], found["durations"], found["processes"]) == (answered, answered, processes)
        right = right + 1 if done else 0
        assert time.monotonic() < until, found
        if not done:
            time.sleep(0.1)


def test_every_process_tells_the_sum_and_it_survives_a_killed_worker(tmp_path: Path) -> None:
    with serving("--workers", "2", GRADWIRE_METRICS_DIR=str(tmp_path), GRADWIRE_LOG_FORMAT="json") as server:
        server.logged("engine started", times=2)
        for _ in range(SENT):
            httpx.post(f"{server.url}/v1/loss", json=REQUEST, timeout=60).raise_for_status()
        agreed(server, SENT, 2)
        victim = min(workers(tmp_path))
        os.kill(victim, signal.SIGKILL)
        server.logged("engine started", times=3)
        agreed(server, SENT, 2)
        httpx.post(f"{server.url}/v1/loss", json=REQUEST, timeout=60).raise_for_status()
        agreed(server, SENT + 1, 2)
        assert victim not in workers(tmp_path)
        model = httpx.get(f"{server.url}/v2/models/mse_loss/stats", timeout=60).json()["model_stats"][0]
        assert model["inference_stats"]["success"]["count"] == SENT + 1
        assert len(httpx.get(f"{server.url}/v1/stats", timeout=60).json()["processes"]) == 2
