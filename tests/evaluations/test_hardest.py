from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.evaluations.partial import partial_of
from service.evaluations.tally import Tally
from tests.evaluations.batches import cut, scored_of, spec_of


def _results(values: list[float], hardest: int, **members: Any) -> list[dict[str, object]]:
    spec = spec_of("multiclass", hardest=hardest, classes=3, groups=["en", "de"])
    tally = Tally(spec)
    tally.add(partial_of(spec, scored_of(np.array(values), **members)))
    found: list[dict[str, object]] = tally.results()["hardest"]
    return found


def test_the_hardest_come_first_with_all_that_is_known_of_them() -> None:
    found = _results(
        [0.5, 2.0, 1.0],
        2,
        sample_ids=["a", "b", "c"],
        element_classes=np.array([0, 2, 1]),
        groups=np.array([0, 1, -1], np.int32),
    )
    assert found == [
        {"id": "b", "batch_id": "b", "index": 1, "loss": 2.0, "class": 2, "group": "de"},
        {"id": "c", "batch_id": "b", "index": 2, "loss": 1.0, "class": 1, "group": None},
    ]


def test_nan_is_harder_than_infinity_and_that_than_any_number() -> None:
    found = _results([1.0, math.inf, math.nan, -math.inf], 4)
    np.testing.assert_equal([one["loss"] for one in found], [math.nan, math.inf, 1.0, -math.inf])
    np.testing.assert_equal([one["loss"] for one in _results([1.0, math.inf, math.nan], 1)], [math.nan])


def test_of_equal_losses_the_first_ids_are_kept_or_else_the_first_places() -> None:
    found = _results([1.0] * 4, 2, sample_ids=["d", "b", "a", "c"])
    assert [one["id"] for one in found] == ["a", "b"]
    assert [one["index"] for one in _results([1.0] * 4, 2)] == [0, 1]


def test_a_sample_of_which_nothing_contributes_is_not_among_them() -> None:
    found = _results([0.0, 1.0], 5, shares=np.array([0.0, 1.0]), counts=np.array([0, 1]), ignored=np.array([1, 0]))
    assert [one["index"] for one in found] == [1]


def test_a_sample_of_several_elements_has_no_class() -> None:
    found = _results(
        [3.0, 1.0],
        5,
        counts=np.array([2, 1]),
        element_values=np.array([1.0, 2.0, 1.0]),
        element_shares=np.ones(3),
        element_samples=np.array([0, 0, 1]),
        element_classes=np.array([0, 1, 2]),
    )
    assert [one["class"] for one in found] == [None, 2]


def test_none_are_kept_where_none_are_wanted() -> None:
    assert _results([1.0, 2.0], 0) == []


@pytest.mark.parametrize("named", [False, True])
@settings(deadline=None)
@given(data=st.data())
def test_partitions_and_orders_change_nothing(named: bool, data: st.DataObject) -> None:
    losses = data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.0, math.nan, math.inf]), min_size=1, max_size=30))
    sizes = data.draw(st.lists(st.integers(1, 10), max_size=6))
    spec = spec_of("regression", hardest=5)
    ids = [f"s{at}" for at in range(len(losses))] if named else None
    parts = [
        part for part in cut(scored_of(np.array(losses), sample_ids=ids), [*sizes, len(losses)]) if len(part.values)
    ]
    tallies = []
    for order in (parts, data.draw(st.permutations(parts))):
        tally = Tally(spec)
        for part in order:
            tally.add(partial_of(spec, part))
        tallies.append(tally)
    assert tallies[0].encode() == tallies[1].encode()
    found = tallies[0].results()["hardest"]
    height = {loss: loss if loss == loss else math.inf for loss in losses}  # noqa: PLR0124 - NaN
    expected = sorted(losses, key=lambda loss: (loss == loss, -height[loss]))[:5]  # noqa: PLR0124 - NaN
    np.testing.assert_equal([one["loss"] for one in found], expected)
