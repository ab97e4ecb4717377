"""What an engine counts."""

from __future__ import annotations

from service.engine.tally import Histogram, Tally


def test_a_histogram_counts_a_value_at_its_bound_below_it() -> None:
    found = Histogram((1, 2, 4))
    for value in (0.5, 1, 1.5, 2, 4, 4.5, 100):
        found.observe(value)
    assert found.counts == [2, 2, 1, 2]
    assert found.count == 7
    assert found.sum == 113.5


def test_a_tally_begins_with_every_reason_at_zero() -> None:
    tally = Tally()
    assert tally.dropped == {"caller_gone": 0, "deadline": 0}
    assert (tally.restarts, tally.oom_splits, tally.retries) == (0, 0, 0)
    assert tally.batch_requests.count == tally.batch_elements.count == tally.batch_seconds.count == 0


def test_a_batch_is_counted_by_requests_elements_and_seconds() -> None:
    tally = Tally()
    tally.computed(3, 100, 0.001)
    assert (tally.batch_requests.sum, tally.batch_elements.sum, tally.batch_seconds.sum) == (3, 100, 0.001)
    assert tally.batch_requests.counts[2] == tally.batch_elements.counts[1] == tally.batch_seconds.counts[4] == 1
