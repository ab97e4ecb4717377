"""What a server holds, percentiles, slopes, and goals with their verdicts."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http.machine import facts
from benchmarks.http.processes import Running
from benchmarks.memory import resident


@dataclass(frozen=True)
class Goal:
    """A figure, in words, and whether it is what it should be."""

    name: str
    found: str
    wanted: str
    met: bool


def report(title: str, goals: Sequence[Goal]) -> int:
    """Print a table; 1 where a goal is missed."""
    machine = ", ".join(f"{name} {value}" for name, value in _facts().items())
    print(f"## {title}\n\n{machine}.\n")
    print("| what | found | wanted | |\n|---|---|---|---|")
    for goal in goals:
        print(f"| {goal.name} | {goal.found} | {goal.wanted} | {'met' if goal.met else 'MISSED'} |")
    return 0 if all(goal.met for goal in goals) else 1


def _facts() -> dict[str, str]:
    try:
        return facts([])
    except (OSError, IndexError, subprocess.SubprocessError):  # wrk is not needed here
        return {}


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest one above; infinite where there is none."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else float("inf")


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The rise of a straight line through the points, by least squares."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def memory(server: Running) -> int:
    """Bytes that all of the server's processes hold."""
    return sum(resident(pid, "VmRSS") for pid in server.pids())


def count(server: Running, what: str) -> int:
    """How many `fd`s or `task`s (threads) they have."""
    found = 0
    for pid in server.pids():
        try:
            found += sum(1 for _ in Path(f"/proc/{pid}/{what}").iterdir())
        except OSError:  # it has ended meanwhile
            continue
    return found
