"""Medians, the table, and the verdict."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from benchmarks.http.cases import CASES
from benchmarks.http.goals import BEST_BARE_PEER, BEST_PEER, Figure, Goal
from benchmarks.http.load import Sample
from benchmarks.http.servers import SUBJECT
from benchmarks.peers.services import PEERS

# Rounds by case name, connections and server name.
Key = tuple[str, int, str]
Measured = Mapping[Key, Sequence[Sample]]

LOSSES_A_CALL = {case.name: case.losses_a_call for case in CASES}
TITLES = {case.name: case.title for case in CASES}
CANDIDATES = {
    BEST_PEER: [peer.name for peer in PEERS if peer.kind == "peer"],
    BEST_BARE_PEER: [peer.name for peer in PEERS if peer.kind == "bare peer"],
}


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


def best(measured: Measured, candidates: Iterable[str], case: str, connections: int) -> str | None:
    """The one with the most requests a second; `None` if none was measured."""
    keys = [(case, connections, name) for name in candidates]
    found = [key for key in keys if measured.get(key)]
    return max(found, key=lambda key: Medians.of(measured[key]).requests_per_second)[2] if found else None


def resolved(measured: Measured, figure: Figure) -> Figure | None:
    """The figure with a peer's name for the best one; `None` if it was not measured."""
    if figure.server in CANDIDATES:
        name = best(measured, CANDIDATES[figure.server], figure.case, figure.connections)
        figure = replace(figure, server=name or figure.server)
    return figure if measured.get((figure.case, figure.connections, figure.server)) else None


def value(measured: Measured, figure: Figure) -> float:
    """A resolved figure, in a second or in milliseconds."""
    medians = Medians.of(measured[figure.case, figure.connections, figure.server])
    if figure.kind == "losses/s":
        return medians.requests_per_second * LOSSES_A_CALL[figure.case]
    return {"requests/s": medians.requests_per_second, "p50": medians.p50_ms, "p99": medians.p99_ms}[figure.kind]


def ratio(measured: Measured, goal: Goal) -> float | None:
    """Our figure divided by the other; `None` where one of them was not measured."""
    ours, theirs = resolved(measured, goal.ours), resolved(measured, goal.theirs)
    return value(measured, ours) / value(measured, theirs) if ours and theirs else None


def in_order(measured: Measured) -> list[Key]:
    """The keys by case and connections, servers in the order in which they were measured."""
    groups: dict[tuple[str, int], list[Key]] = {}
    for key in measured:
        groups.setdefault(key[:2], []).append(key)
    return [key for group in groups.values() for key in group]


def table(measured: Measured) -> str:
    """A GitHub table; the last two columns are Gradwire's figure divided by the row's own."""
    batches = any(LOSSES_A_CALL[case] > 1 for case, _, _ in measured)
    heads = ["case", "connections", "server", "requests/s", "(lowest to highest round)"]
    heads += ["losses/s"] if batches else []
    heads += ["p50 ms", "p99 ms", f"{SUBJECT} ÷ this: requests/s", f"{SUBJECT} ÷ this: p50"]
    lines = [f"| {' | '.join(heads)} |", "|---|--:|---|--:|--:|" + "--:|" * (len(heads) - 5)]
    for case, connections, server in in_order(measured):
        rounds = measured[case, connections, server]
        own = Medians.of(rounds)
        rates = [one.requests_per_second for one in rounds]
        cells = [TITLES[case], str(connections), server, three_digits(own.requests_per_second)]
        cells.append(f"{three_digits(min(rates))} to {three_digits(max(rates))}")
        cells += [three_digits(own.requests_per_second * LOSSES_A_CALL[case])] if batches else []
        cells += [three_digits(own.p50_ms), three_digits(own.p99_ms)]
        ours = measured.get((case, connections, SUBJECT))
        if server == SUBJECT or not ours:
            cells += ["", ""]
        else:
            subject = Medians.of(ours)
            cells.append(f"{subject.requests_per_second / own.requests_per_second:.2f}")
            cells.append(f"{subject.p50_ms / own.p50_ms:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def verdict(measured: Measured, goals: Iterable[Goal]) -> str:
    """One line a goal that was measured, and how many were not."""
    lines = []
    missing = 0
    for goal in goals:
        found = ratio(measured, goal)
        if found is None:
            missing += 1
        else:
            lines.append(f"- {_wanted(measured, goal)}: {_outcome(goal, found)}")
    if missing:
        lines.append(f"- not measured in this run: {missing} more")
    return "\n".join(lines)


def _wanted(measured: Measured, goal: Goal) -> str:
    ours, theirs = goal.ours, goal.theirs
    connections = f"{ours.connections} connection{'s' if ours.connections != 1 else ''}"
    text = f"{TITLES[ours.case]}, {connections}: {ours.kind} "
    if goal.bound is not None:
        text += f"at {'least' if goal.is_a_rate else 'most'} {goal.bound:g} times "
    else:
        text += "against "
    if ours.server == theirs.server and ours.case == theirs.case:
        return text + f"its {theirs.kind}"
    found = resolved(measured, theirs)
    if theirs.server in CANDIDATES and found:
        text += f"{theirs.server}'s ({found.server})"
    else:
        text += f"{theirs.server}'s"
    return text if ours.case == theirs.case else text + f" in {TITLES[theirs.case]}"


def _outcome(goal: Goal, found: float) -> str:
    if goal.bound is None:
        return f"{found:.2f} times"
    return f"{found:.2f} times: {'met' if goal.is_met(found) else 'MISSED'}"


def three_digits(number: float) -> str:
    """Three significant digits, which is more than the noise of a shared machine allows."""
    if number >= 100:
        return f"{float(f'{number:.3g}'):,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"
