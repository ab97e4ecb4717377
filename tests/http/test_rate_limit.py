"""The fields that tell of limits, as draft-ietf-httpapi-ratelimit-headers writes them."""

from __future__ import annotations

import pytest

from service.http.rate_limit import LONGEST, Policy, Standing, fields, retry_after


def test_a_policy_is_a_name_with_a_quota_and_a_window() -> None:
    assert fields([Standing(Policy("day", 1000, 86400), 12, 3600)]) == {
        "ratelimit-policy": '"day";q=1000;w=86400',
        "ratelimit": '"day";r=12;t=3600',
    }


def test_several_policies_are_one_list() -> None:
    standings = [
        Standing(Policy("queue", 5_000_000, 10, "elements"), 0, 4),
        Standing(Policy("in-flight", 64, unit="concurrent-requests"), 3),
    ]
    assert fields(standings) == {
        "ratelimit-policy": '"queue";q=5000000;qu="elements";w=10, "in-flight";q=64;qu="concurrent-requests"',
        "ratelimit": '"queue";r=0;t=4, "in-flight";r=3',
    }


@pytest.mark.parametrize(
    ("seconds", "least", "most"), [(0.0, 1, 1), (0.3, 1, 1), (10.0, 10, 15), (1e9, LONGEST, LONGEST)]
)
def test_a_wait_is_whole_seconds_within_bounds(seconds: float, least: int, most: int) -> None:
    found = {retry_after(seconds) for _ in range(200)}
    assert min(found) >= least
    assert max(found) <= most


def test_callers_that_were_refused_together_come_back_apart() -> None:
    assert len({retry_after(20.0) for _ in range(200)}) > 3
