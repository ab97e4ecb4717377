"""How fast runs take samples: `python -m benchmarks.evaluation.speed` (some minutes; Linux).

Four senders at once, prepared bodies, cross entropy: samples a second into runs by wire, with metrics and without, and
for comparison through `POST /v1/loss` with gradients and without, of 10 classes and of 32,000, where the backward pass
and its answer weigh; then by database: a file whose every commit is flushed, one in memory (`/dev/shm`), which none
waits for, and what `--database` names. What is compared takes turns, round by round, so that a machine whose speed
drifts is as fast for all; each line is the median, with the least and the most. It prints Markdown.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.evaluation.exact import Served, asked
from benchmarks.evaluation.sender import started

SENDERS = 4
METRICS = ("accuracy", "f1", "auroc", "calibration_error", "confusion_matrix")
WARM_UP = 40
"""Batches that are sent before anything is measured: a server's first work takes longer."""


class Case(NamedTuple):
    """Batches of so many rows and classes, and how many of them."""

    rows: int
    classes: int
    batches: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.classes}"


SMALL = (Case(32, 10, 800), Case(1000, 10, 240))
WIDE = Case(64, 32_000, 16)
"""8 MB of logits a batch."""


def rate(server: Served, case: Case, wire: str, metrics: tuple[str, ...] = ()) -> float:
    """Samples a second."""
    path = "/v1/loss"
    if wire not in ("loss", "gradients"):
        spec: dict[str, Any] = {"loss": "cross_entropy", "metrics": [{"name": name} for name in metrics]}
        if case.classes <= 1000:
            spec["classes"] = case.classes
        path = f"/v1/evaluations/{asked(server.port, 'POST', '/v1/evaluations', spec)['id']}/batches"
    processes = []
    for at in range(SENDERS):
        told = {
            "origins": [["127.0.0.1", server.port]],
            "path": path,
            "wire": wire,
            "rows": case.rows,
            "classes": case.classes,
            "order": list(range(at, case.batches, SENDERS)),
            "made": True,
        }
        processes.append(started(told))
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # all are ready before the first begins
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found: list[dict[str, Any]] = [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]
    longest: float = max(one["seconds"] for one in found)
    return case.batches * case.rows / longest


class Measured:
    """Rates of several ways, taken in turns."""

    def __init__(self) -> None:
        self.rates: dict[str, list[float]] = {}

    def take(self, name: str, *asked_for: Any) -> None:
        self.rates.setdefault(name, []).append(rate(*asked_for))

    def lines(self, case: Case, base: str) -> list[str]:
        """Markdown; each rate also as a part of `base`'s, round by round."""
        lines = []
        for name, rates in self.rates.items():
            parts = [own / other for own, other in zip(rates, self.rates[base], strict=True)]
            part = f"{statistics.median(parts):.2f}"
            spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
            lines.append(f"| {case} | {name} | {statistics.median(rates):,.0f} | {spread} | {part} |")
        return lines


def by_wire(server: Served, case: Case, rounds: int) -> list[str]:
    """Each wire and `/v1/loss`, in turns."""
    base = "`/v1/loss`, safetensors, no gradients"
    ways: dict[str, tuple[Any, ...]] = {
        base: ("loss",),
        "`/v1/loss`, safetensors, gradients": ("gradients",),
        "run, safetensors": ("safetensors",),
    }
    if case is not WIDE:  # in JSON it would measure how fast texts are read
        ways |= {
            "run, Open Inference Protocol": ("oip",),
            "run, JSON": ("json",),
            f"run, safetensors, {len(METRICS)} metrics": ("safetensors", METRICS),
        }
    found = Measured()
    for _ in range(rounds):
        for name, way in ways.items():
            found.take(name, server, case, *way)
    return found.lines(case, base)


def by_database(servers: dict[str, Served], case: Case, rounds: int) -> list[str]:
    """Each database, in turns."""
    found = Measured()
    for _ in range(rounds):
        for name, server in servers.items():
            found.take(name, server, case, "safetensors")
    return found.lines(case, next(iter(servers)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gradwire", default=str(Path(sys.executable).with_name("gradwire")))
    parser.add_argument("--database", help="one more database, by its URL")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        urls = {"file in memory": f"sqlite:///{memory}/e.db", "file, flushed": f"sqlite:///{folder}/e.db"}
        if options.database:
            urls[options.database.partition(":")[0]] = options.database
        log = Path(folder) / "log"
        servers = {name: Served(options.gradwire, url, log) for name, url in urls.items()}
        try:
            for server in servers.values():
                for wire in ("gradients", "safetensors"):
                    rate(server, Case(32, 10, WARM_UP), wire)
            print("## Samples a second, by wire\n")
            print("| batch | sent as | samples/s | from, to | of `/v1/loss` without gradients |\n|---|---|--:|--:|--:|")
            for case in (*SMALL, WIDE):
                print(*by_wire(servers["file, flushed"], case, options.rounds), sep="\n", flush=True)
            print("\n## The cost of durability\n")
            print("| batch | database | samples/s | from, to | of the file in memory |\n|---|---|--:|--:|--:|")
            for case in SMALL:
                print(*by_database(servers, case, options.rounds), sep="\n", flush=True)
        finally:
            for server in servers.values():
                server.stop()


if __name__ == "__main__":
    main()
