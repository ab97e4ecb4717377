from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from service.evaluations import resampling
from service.evaluations.bootstrap import bootstrap
from tests.evaluations.stored import batched, one_by_one
from tests.needs import needs_package

stats = needs_package("scipy.stats")


def interval_of(losses: Any, shares: Any = None, reduction: Any = "mean", level: float = 0.95, **how: Any) -> Any:
    """The bootstrap of samples in batches."""
    batches = batched(losses, shares, **how)
    return asyncio.run(bootstrap(one_by_one(batches), reduction=reduction, level=level))


@pytest.mark.parametrize("n", [300, 4096, 4097, 60_000])
def test_order_and_batches_change_no_bit(n: int) -> None:
    draws = np.random.default_rng(7)
    losses, shares = draws.lognormal(size=n), draws.uniform(0.5, 2, n)
    first = interval_of(losses, shares)
    assert first["units"] == min(n, 4096)
    for size in (n, 97 if n < 5000 else 7001):
        assert interval_of(losses, shares, order=draws.permutation(n), size=size) == first


def test_what_waits_is_summed_early_without_changing_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = np.random.default_rng(1).lognormal(size=20_000)
    late = interval_of(losses)
    monkeypatch.setattr(resampling, "PENDING", 1000)
    assert interval_of(losses) == late


@pytest.mark.parametrize("n", [200, 30_000])
def test_it_is_scipys_interval_of_a_ratio_within_the_noise_of_resampling(n: int) -> None:
    draws = np.random.default_rng(3)
    shares = draws.uniform(0.2, 3, n)
    losses = shares * draws.lognormal(size=n)
    made = interval_of(losses, shares)
    known = stats.bootstrap(
        (losses, shares),
        lambda v, w, axis: v.sum(axis=axis) / w.sum(axis=axis),
        paired=True,
        n_resamples=2000,
        batch=50,
        method="percentile",
        rng=draws,
    ).confidence_interval
    width = known.high - known.low
    assert made["low"] == pytest.approx(known.low, abs=0.12 * width)
    assert made["high"] == pytest.approx(known.high, abs=0.12 * width)


@pytest.mark.parametrize("n", [400, 5000])
def test_nineteen_of_twenty_intervals_hold_the_true_loss(n: int) -> None:
    draws = np.random.default_rng(5)
    trials, held = 40, 0
    for trial in range(trials):
        shares = draws.choice([0.5, 2.0], n)
        losses = shares * draws.gamma(2.0, 0.5, n)  # the true loss is 1
        ids = [f"{trial}-{place}" for place in range(n)]
        made = interval_of(losses, shares, ids=ids, size=n)
        held += made["low"] <= 1 <= made["high"]
    # of 40 trials at 0.95, fewer than 33 hold once in a thousand times
    assert held >= 33


def test_a_sum_is_of_as_many_samples_as_there_are() -> None:
    losses = 5 + np.random.default_rng(2).normal(size=10_000)
    made = interval_of(losses, reduction="sum")
    deviation = np.sqrt(10_000) * losses.std()
    assert made["high"] - made["low"] == pytest.approx(2 * 1.96 * deviation, rel=0.1)
    assert made["low"] < losses.sum() < made["high"]


def test_samples_without_a_loss_take_no_part() -> None:
    losses = np.random.default_rng(4).lognormal(size=100)
    ignored = batched([*losses, 0.0, 0.0], [1.0] * 100 + [0.0, 0.0])
    assert asyncio.run(bootstrap(one_by_one(ignored), reduction="mean", level=0.9)) == interval_of(losses, level=0.9)


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, np.nan], [np.inf, 1.0, 2.0], [1.7e308, 1.7e308, 1.6e308]])
def test_there_is_none_of_fewer_than_two_samples_nor_beyond_numbers(losses: list[float]) -> None:
    assert interval_of(losses) is None


def test_samples_without_shares_have_part_in_the_sums() -> None:
    """As of a class of weight 0 whose labels are smoothed."""
    losses = np.r_[np.ones(50), np.full(50, 2.0), np.zeros(10)]
    found = interval_of(losses, np.r_[np.ones(50), np.zeros(60)])
    assert found["units"] == 100
    assert found["low"] < 3 < found["high"]
    assert interval_of(np.r_[losses, np.nan], np.r_[np.ones(50), np.zeros(61)]) is None
