"""What a batch adds is worked out once, and everything that is told of it comes of that."""

from __future__ import annotations

import math

import numpy as np
import pytest

from service.evaluations.adding import moments_in
from service.evaluations.moments import moments_of
from service.evaluations.partial import partial_of
from service.evaluations.scored import Scored
from service.evaluations.scoring import figures
from tests.evaluations.batches import scored_of, spec_of

SPEC = spec_of("multiclass", classes=3, groups=["en", "de"])
DRAW = np.random.default_rng(3)
VALUES, SHARES = DRAW.lognormal(0, 20, 40), DRAW.random(40)
LACKING = np.arange(40) % 7 > 0
"""Samples that contribute; the others have no share either."""


@pytest.mark.parametrize(
    "batch",
    [
        scored_of(VALUES),
        scored_of(VALUES, SHARES, element_classes=np.arange(40) % 3, groups=(np.arange(40) % 3 - 1).astype(np.int32)),
        scored_of(VALUES * LACKING, SHARES * LACKING, counts=LACKING.astype(np.int64)),
        scored_of(np.array([1.0, math.inf, math.nan]), np.array([1.0, math.inf, 0.5])),
        scored_of(np.array([])),
    ],
)
def test_a_batchs_own_sums_are_those_of_its_samples(batch: Scored) -> None:
    found, expected = moments_in(partial_of(SPEC, batch), batch), moments_of(batch.values, batch.shares)
    assert (found.value, found.share, found.odd) == (expected.value, expected.share, expected.odd)


def test_figures_are_sums_rounded_once() -> None:
    batch = scored_of(VALUES, SHARES)
    found = figures(batch, moments_of(VALUES, SHARES), SPEC)
    assert (found["loss"], found["divisor"]) == (math.fsum(VALUES) / math.fsum(SHARES), math.fsum(SHARES))


@pytest.mark.parametrize(
    ("values", "loss"),
    [
        ([math.inf, -math.inf], math.nan),
        ([1.0, math.inf], math.inf),
        ([math.nan, math.inf], math.nan),
        ([1.5e308, 1.5e308, -1.5e308, -1.5e308], 0.0),
        ([1.5e308, 1.5e308], math.inf),
    ],
)
def test_losses_beyond_all_numbers_are_told_as_ieee_754_has_them(values: list[float], loss: float) -> None:
    numbers = np.array(values)
    found = figures(scored_of(numbers), moments_of(numbers, np.ones(len(values))), SPEC)
    np.testing.assert_equal(found["loss"], loss)
