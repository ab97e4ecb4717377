from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.http.cases import CASES
from benchmarks.http.goals import BEST_BARE_PEER, BEST_PEER, GOALS, Figure, Goal
from benchmarks.http.report import ratio, table, verdict
from benchmarks.http.servers import SUBJECT
from tests.benchmarks.made import rounds

OURS = Figure("json-1x10", 16, SUBJECT, "requests/s")


def test_a_ratio_is_of_medians() -> None:
    measured = rounds({("json-1x10", SUBJECT): (90, 300, 100), ("json-1x10", "naive"): (50, 10, 60)})
    goal = Goal(OURS, replace(OURS, server="naive"), bound=2)
    assert ratio(measured, goal) == 2.0
    assert goal.is_met(2.0)
    assert not goal.is_met(1.9)


def test_the_best_peer_is_the_one_with_most_requests_a_second() -> None:
    rates = {("json-1x10", SUBJECT): (600,), ("json-1x10", "LitServe"): (100,), ("json-1x10", "MLServer"): (200,)}
    goal = Goal(OURS, replace(OURS, server=BEST_PEER), bound=2.5)
    assert ratio(rounds(rates), goal) == 3.0
    assert "the best peer's (MLServer): 3.00 times: met" in verdict(rounds(rates), [goal])


def test_bare_peers_are_told_apart_and_never_judged() -> None:
    rates = {("json-1x10", SUBJECT): (600,), ("json-1x10", "MLServer"): (200,), ("json-1x10", "MLServer, bare"): (800,)}
    goal = Goal(OURS, replace(OURS, server=BEST_PEER), bound=2.5)
    bare = [goal for goal in GOALS if goal.theirs.server == BEST_BARE_PEER]
    told = verdict(rounds(rates), [goal, *bare])
    assert "the best peer's (MLServer): 3.00 times: met" in told
    assert "the best bare peer's (MLServer, bare): 0.75 times\n" in told
    assert bare
    assert all(goal.bound is None for goal in bare)


def test_a_figure_may_be_of_another_case_and_counts_all_losses_of_a_call() -> None:
    ours = Figure("json-batch", 16, SUBJECT, "losses/s")
    goal = Goal(ours, replace(ours, case="json-1x10"), bound=10)
    measured = rounds({("json-batch", SUBJECT): (100,), ("json-1x10", SUBJECT): (1000,)})
    assert ratio(measured, goal) == 25.6


def test_latencies_are_held_from_above() -> None:
    goal = Goal(replace(OURS, kind="p99"), replace(OURS, kind="p50"), bound=4)
    measured = rounds({("json-1x10", SUBJECT): (1,)})
    assert ratio(measured, goal) == 3.0
    assert goal.is_met(4.0)
    assert not goal.is_met(4.1)
    assert verdict(measured, [goal]).endswith("p99 at most 4 times its p50: 3.00 times: met")


@pytest.mark.parametrize("server", ["naive", BEST_PEER, BEST_BARE_PEER])
def test_what_was_not_measured_has_no_ratio(server: str) -> None:
    goal = Goal(OURS, replace(OURS, server=server), bound=2)
    measured = rounds({("json-1x10", SUBJECT): (1,)})
    assert ratio(measured, goal) is None
    assert verdict(measured, [goal]) == "- not measured in this run: 1 more"


def test_every_goal_names_a_case() -> None:
    names = {case.name for case in CASES}
    assert {figure.case for goal in GOALS for figure in (goal.ours, goal.theirs)} <= names


def test_the_table_needs_no_gradwire() -> None:
    assert "| 1x10 JSON | 16 | naive | 50.0 |" in table(rounds({("json-1x10", "naive"): (50,)}))
