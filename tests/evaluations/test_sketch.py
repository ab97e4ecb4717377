from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.evaluations import sketch


def _counts(losses: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.bincount(sketch.cells(losses), minlength=sketch.CELLS)


@settings(deadline=None)
@given(st.floats(2.3e-308, 1.7e308))
def test_buckets_are_the_librarys(loss: float) -> None:
    mapping = sketch._MAPPING
    plus, minus = sketch.cells(np.array([loss, -loss])).tolist()
    assert plus - sketch._ZERO == mapping.key(loss) - sketch._FIRST + 1
    assert plus - sketch._ZERO == sketch._ZERO - minus


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=40))
def test_buckets_are_in_the_order_of_losses(losses: list[float]) -> None:
    cells = sketch.cells(np.sort(losses))
    assert (np.diff(cells) >= 0).all()
    assert cells[0] >= 0
    assert cells[-1] < sketch.CELLS


def test_the_first_and_the_last_sample_are_known_exactly() -> None:
    losses = np.array([0.2413, 0.2414, 0.7])
    found = {one["q"]: one["value"] for one in sketch.quantiles(_counts(losses), 0.2413, 0.7)}
    assert found[0.01] == found[0.25] == 0.2413
    assert found[0.5] == pytest.approx(0.2414, rel=0.005)
    assert found[0.75] == found[0.99] == 0.7


@pytest.mark.parametrize("spread", ["exponential", "normal", "wide", "equal", "zeros"])
def test_quantiles_are_as_near_as_told(spread: str) -> None:
    rng = np.random.default_rng(3)
    losses = {
        "exponential": rng.exponential(size=5000),
        "normal": rng.normal(size=5000) * 1e-9,
        "wide": np.exp(rng.normal(size=5000) * 100),
        "equal": np.full(50, 0.1),
        "zeros": np.zeros(50),
    }[spread]
    ordered = np.sort(losses)
    found = sketch.quantiles(_counts(losses), ordered[0], ordered[-1])
    assert [one["q"] for one in found] == list(sketch.QUANTILES)
    for one in found:
        true = ordered[math.ceil(round(100 * one["q"]) * len(ordered) / 100) - 1]
        assert abs(one["value"] - true) <= sketch.ACCURACY * abs(true) * (1 + 1e-9)


def test_the_largest_and_the_least_float64_have_quantiles() -> None:
    losses = np.array([-np.finfo(np.float64).max, 5e-324, np.finfo(np.float64).max])
    found = sketch.quantiles(_counts(losses), float(losses[0]), float(losses[-1]))
    assert found[0]["value"] == pytest.approx(losses[0], rel=0.011)
    assert found[4]["value"] == 0


def test_at_least_the_told_part_of_few_samples_is_at_or_below_a_quantile() -> None:
    found = {one["q"]: one["value"] for one in sketch.quantiles(_counts(np.array([0.25, 1.0])), 0.25, 1.0)}
    assert found[0.01] == found[0.5] == pytest.approx(0.25, rel=sketch.ACCURACY)
    assert found[0.75] == found[0.99] == pytest.approx(1.0, rel=sketch.ACCURACY)


def test_without_losses_there_are_no_quantiles_and_no_bars() -> None:
    none = np.zeros(sketch.CELLS, np.int64)
    assert sketch.quantiles(none, math.inf, -math.inf) == []
    assert sketch.histogram(none, math.inf, -math.inf) == {"edges": [], "counts": []}


@pytest.mark.parametrize("seed", range(6))
def test_bars_hold_the_losses_between_their_edges(seed: int) -> None:
    rng = np.random.default_rng(seed)
    losses = rng.lognormal(sigma=[0.001, 0.1, 1, 3, 1, 10][seed], size=3000) - (seed == 4)
    low, high = float(losses.min()), float(losses.max())
    found = sketch.histogram(_counts(losses), low, high)
    edges = np.array(found["edges"])
    assert (np.diff(edges) > 0).all()
    assert (edges[0], edges[-1]) == (low, high)
    assert 1 <= len(found["counts"]) <= sketch.MAX_BARS + 1
    assert len(edges) == len(found["counts"]) + 1
    below = [np.count_nonzero(losses <= edge) for edge in edges[1:]]
    assert found["counts"] == np.diff(below, prepend=0).tolist()


def test_a_long_tail_is_one_bar_and_the_rest_keeps_its_form() -> None:
    losses = np.append(np.random.default_rng(0).uniform(0, 1, 10_000), 1e6)
    found = sketch.histogram(_counts(losses), float(losses.min()), 1e6)
    assert len(found["counts"]) > 30
    assert found["edges"][-2] < 1.1


def test_equal_losses_are_one_bar() -> None:
    found = sketch.histogram(_counts(np.full(9, 2.5)), 2.5, 2.5)
    assert found == {"edges": [2.5, 2.5], "counts": [9]}
