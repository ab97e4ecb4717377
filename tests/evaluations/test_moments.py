from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.evaluations.partial import partial_of
from service.evaluations.tally import Tally
from tests.evaluations.batches import scored_of, spec_of

VALUES = st.floats(-1e200, 1e200)
SHARES = st.floats(0, 1e100) | st.just(1.0)


def _tally(values: list[float], shares: list[float] | None = None, reduction: str = "mean") -> Tally:
    spec = spec_of("regression", reduction=reduction)
    tally = Tally(spec)
    given_shares = None if shares is None else np.array(shares, np.float64)
    tally.add(partial_of(spec, scored_of(np.array(values, np.float64), given_shares)))
    return tally


@settings(deadline=None)
@given(st.lists(st.tuples(VALUES, SHARES), min_size=2, max_size=20))
def test_the_mean_and_its_error_are_those_of_fractions(rows: list[tuple[float, float]]) -> None:
    tally = _tally([v for v, _ in rows], [w for _, w in rows])
    pairs = [(Fraction(v), Fraction(w)) for v, w in rows]
    n, v, w = len(pairs), sum(v for v, _ in pairs), sum(w for _, w in pairs)
    if not w:
        assert not math.isfinite(tally.loss)
        return
    ratio = v / w
    assert tally.loss == _nearest(ratio)
    assert tally.divisor == float(w)
    squared = n * sum(((v - ratio * w) ** 2 for v, w in pairs), Fraction(0)) / (n - 1) / w**2
    error = tally.standard_error
    assert error is not None
    if math.isfinite(error):
        assert Fraction(math.nextafter(error, 0)) ** 2 <= squared <= Fraction(math.nextafter(error, math.inf)) ** 2


def _nearest(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@settings(deadline=None)
@given(st.lists(VALUES, min_size=2, max_size=20))
def test_the_sum_and_its_error_are_those_of_fractions(values: list[float]) -> None:
    tally = _tally(values, reduction="sum")
    exact = [Fraction(v) for v in values]
    mean = sum(exact, Fraction(0)) / len(exact)
    assert tally.loss == float(sum(exact, Fraction(0)))
    squared = len(exact) * sum(((v - mean) ** 2 for v in exact), Fraction(0)) / (len(exact) - 1)
    error = tally.standard_error
    assert error is not None
    assert Fraction(math.nextafter(error, 0)) ** 2 <= squared <= Fraction(math.nextafter(error, math.inf)) ** 2


def test_a_spread_far_below_the_mean_does_not_cancel() -> None:
    values = [1e9 + step * 2.0**-20 for step in range(4)]
    expected = 2.0**-20 * math.sqrt(5 / 3) / 2  # of 0, 1, 2, 3: the variance 5/3, over 4 samples
    assert _tally(values).standard_error == pytest.approx(expected, rel=1e-15)


def test_below_two_samples_there_is_no_error() -> None:
    assert _tally([]).standard_error is None
    assert _tally([3.0]).standard_error is None
    assert _tally([3.0]).results()["interval"] is None


@pytest.mark.parametrize(
    ("values", "shares", "expected"),
    [
        ([], None, math.nan),
        ([1.0, math.nan], None, math.nan),
        ([1.0, math.inf], None, math.inf),
        ([1.0, -math.inf], None, -math.inf),
        ([math.inf, -math.inf], None, math.nan),
        ([1.0, 2.0], [math.inf, 1.0], 0.0),
        ([math.inf, 2.0], [math.inf, 1.0], math.nan),
        ([1.0, -3.0], [0.0, 0.0], -math.inf),
        ([0.0, 0.0], [0.0, 0.0], math.nan),
    ],
)
def test_what_is_not_finite_makes_what_ieee_754_makes_of_it(
    values: list[float], shares: list[float] | None, expected: float
) -> None:
    np.testing.assert_equal(_tally(values, shares).loss, expected)


def test_an_error_of_what_is_not_finite_is_nan() -> None:
    error = _tally([1.0, math.inf]).standard_error
    assert error is not None
    assert math.isnan(error)


def test_what_is_not_finite_is_counted() -> None:
    found = _tally([math.nan, math.inf, math.inf, -math.inf, 1.0]).results()
    assert found["not_finite"] == {"nan": 1, "positive_infinity": 2, "negative_infinity": 1}
    assert found["sample_loss"]["min"] == found["sample_loss"]["max"] == 1.0
