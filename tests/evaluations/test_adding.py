"""What a batch adds is worked out once, and everything that is told of it comes of that."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from service.evaluations.exact import UNIT
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
    found = partial_of(SPEC, batch).moments()
    values, shares = (numbers[np.isfinite(numbers)].tolist() for numbers in (batch.values, batch.shares))
    assert found.value == sum(map(Fraction, values)) * 2**UNIT
    instead = len(batch.shares) - len(shares)  # of each that is not finite
    assert found.share == sum(map(Fraction, shares), start=Fraction(instead)) * 2**UNIT
    assert found.odd == tuple(
        int((np.isnan(numbers) if math.isnan(kind) else numbers == kind).sum())
        for numbers in (batch.values, batch.shares)
        for kind in (math.nan, math.inf, -math.inf)
    )


def own_figures(batch: Scored) -> dict[str, Any]:
    """What is told of the batch."""
    partial = partial_of(SPEC, batch)
    return figures(partial, partial.moments(), SPEC)


def test_figures_are_sums_rounded_once() -> None:
    found = own_figures(scored_of(VALUES, SHARES))
    total, divisor = (sum(map(Fraction, some.tolist()), start=Fraction(0)) for some in (VALUES, SHARES))
    assert (found["loss"], found["divisor"]) == (float(total / divisor), float(divisor))


@pytest.mark.parametrize(
    ("values", "loss"),
    [
        ([math.inf, -math.inf], math.nan),
        ([1.0, math.inf], math.inf),
        ([math.nan, math.inf], math.nan),
        ([1.5e308, 1.5e308, -1.5e308, -1.5e308], 0.0),
        ([1.5e308, 1.5e308], 1.5e308),
    ],
)
def test_losses_beyond_all_numbers_are_told_as_ieee_754_has_them(values: list[float], loss: float) -> None:
    np.testing.assert_equal(own_figures(scored_of(np.array(values)))["loss"], loss)
