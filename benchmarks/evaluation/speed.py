"""How fast runs take samples: `python -m benchmarks.evaluation.speed` (some minutes; Linux).

Four senders at once, prepared bodies, cross entropy of 10 classes: samples a second into runs by wire, with metrics and
without, and for comparison through `POST /v1/loss` with gradients and without; then by database: a file whose every
commit is flushed, one in memory (`/dev/shm`), which none waits for, and what `--database` names. It prints Markdown.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.evaluation.exact import Served, asked
from benchmarks.http.servers import ROOT

SENDERS = 4
CLASSES = 10
METRICS = ("accuracy", "f1", "auroc", "calibration_error", "confusion_matrix")


def rate(server: Served, wire: str, rows: int, batches: int, metrics: tuple[str, ...] = ()) -> float:
    """Samples a second."""
    path = "/v1/loss"
    if wire not in ("loss", "gradients"):
        spec = {"loss": "cross_entropy", "classes": CLASSES, "metrics": [{"name": name} for name in metrics]}
        path = f"/v1/evaluations/{asked(server.port, 'POST', '/v1/evaluations', spec)['id']}/batches"
    processes = []
    for at in range(SENDERS):
        told = {
            "origins": [["127.0.0.1", server.port]],
            "path": path,
            "wire": wire,
            "rows": rows,
            "classes": CLASSES,
            "order": list(range(at, batches, SENDERS)),
            "made": True,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.evaluation.sender"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        processes.append(process)
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # all are ready before the first begins
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found: list[dict[str, Any]] = [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]
    longest: float = max(one["seconds"] for one in found)
    return batches * rows / longest


def median(rounds: int, *measured: Any) -> float:
    return statistics.median(rate(*measured) for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gradwire", default=str(Path(sys.executable).with_name("gradwire")))
    parser.add_argument("--database", help="one more database, by its URL")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        log = Path(folder) / "log"
        server = Served(options.gradwire, f"sqlite:///{folder}/evaluations.db", log)
        print("## Samples a second, by wire\n\n| batch | sent as | samples/s | of `/v1/loss` without gradients |")
        print("|---|---|---|---|")
        for rows, batches in ((32, 800), (1000, 240)):
            base = median(options.rounds, server, "loss", rows, batches)
            lines = [
                ("`/v1/loss`, safetensors, no gradients", base),
                ("`/v1/loss`, safetensors, gradients", median(options.rounds, server, "gradients", rows, batches)),
            ]
            lines += [
                (f"run, {wire}", median(options.rounds, server, wire, rows, batches))
                for wire in ("safetensors", "oip", "json")
            ]
            every = median(options.rounds, server, "safetensors", rows, batches, METRICS)
            lines.append((f"run, safetensors, {len(METRICS)} metrics", every))
            for name, found in lines:
                print(f"| {rows}x{CLASSES} | {name} | {found:,.0f} | {found / base:.2f} |", flush=True)
        server.stop()
        print(
            "\n## The cost of durability\n\n| batch | database | samples/s | of the file in memory |\n|---|---|---|---|"
        )
        urls = {"file in memory": f"sqlite:///{memory}/e.db", "file, flushed": f"sqlite:///{folder}/e.db"}
        if options.database:
            urls[options.database.partition(":")[0]] = options.database
        found_by: dict[tuple[str, int], float] = {}
        for name, url in urls.items():
            server = Served(options.gradwire, url, log)
            for rows, batches in ((32, 800), (1000, 240)):
                found_by[name, rows] = median(options.rounds, server, "safetensors", rows, batches)
            server.stop()
        for (name, rows), found in found_by.items():
            print(f"| {rows}x{CLASSES} | {name} | {found:,.0f} | {found / found_by['file in memory', rows]:.2f} |")


if __name__ == "__main__":
    main()
