"""Medians, the table, and the verdict."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.http.cases import Case
from benchmarks.http.goals import Goal
from benchmarks.http.load import Sample
from benchmarks.http.servers import SUBJECT

# Rounds by case name, connections and server name, in the order in which they were measured.
Measured = Mapping[tuple[str, int, str], Sequence[Sample]]


@dataclass(frozen=True)
class Medians:
    """Each figure's median over the rounds."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, rounds: Sequence[Sample]) -> "Medians":
        return cls(
            median(one.requests_per_second for one in rounds),
            median(one.p50_ms for one in rounds),
            median(one.p99_ms for one in rounds),
        )


def table(measured: Measured, cases: Iterable[Case]) -> str:
    """A GitHub table; the last two columns are Gradwire's figure divided by the row's own."""
    titles = {case.name: case.title for case in cases}
    lines = [
        f"| case | connections | server | requests/s | (lowest to highest round) | p50 ms | p99 ms "
        f"| {SUBJECT} ÷ this: requests/s | {SUBJECT} ÷ this: p50 |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for (case, connections, server), rounds in measured.items():
        own, subject = Medians.of(rounds), Medians.of(measured[case, connections, SUBJECT])
        rates = [one.requests_per_second for one in rounds]
        cells = [
            titles[case],
            str(connections),
            server,
            _three_digits(own.requests_per_second),
            f"{_three_digits(min(rates))} to {_three_digits(max(rates))}",
            _three_digits(own.p50_ms),
            _three_digits(own.p99_ms),
            "" if server == SUBJECT else f"{subject.requests_per_second / own.requests_per_second:.2f}",
            "" if server == SUBJECT else f"{subject.p50_ms / own.p50_ms:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ratio(measured: Measured, goal: Goal) -> float | None:
    """Gradwire's median divided by the other's; `None` where one of them was not measured."""
    ours = measured.get((goal.case, goal.connections, SUBJECT))
    theirs = measured.get((goal.case, goal.connections, goal.against))
    if not ours or not theirs:
        return None
    if goal.figure == "requests/s":
        return Medians.of(ours).requests_per_second / Medians.of(theirs).requests_per_second
    return Medians.of(ours).p50_ms / Medians.of(theirs).p50_ms


def verdict(measured: Measured, goals: Iterable[Goal], cases: Iterable[Case]) -> str:
    """One line a goal."""
    titles = {case.name: case.title for case in cases}
    lines = []
    for goal in goals:
        found = ratio(measured, goal)
        outcome = "not measured"
        if found is not None:
            outcome = f"{found:.2f} times: {'met' if goal.is_met(found) else 'MISSED'}"
        where = f"{titles[goal.case]}, {goal.connections} connection{'s' if goal.connections != 1 else ''}"
        lines.append(f"- {where}: {goal.figure} {goal.words} {goal.against}'s: {outcome}")
    return "\n".join(lines)


def _three_digits(number: float) -> str:
    """Three significant digits, which is more than the noise of a shared machine allows."""
    if number >= 100:
        return f"{float(f'{number:.3g}'):,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"
