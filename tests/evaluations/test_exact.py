from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.evaluations import exact

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.lists(FINITE, max_size=60)
PAIRS = st.lists(st.tuples(st.integers(0, 5), FINITE, FINITE), max_size=60)


@pytest.fixture(scope="module", params=[0, exact._FEW], autouse=True)
def few(request: pytest.FixtureRequest) -> Iterator[None]:
    """All tests take both ways of adding: with NumPy, and a few terms one by one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_FEW", request.param)
        yield


def _sum(numbers: list[float]) -> int:
    return exact.sums(np.zeros(len(numbers), np.int64), np.array(numbers, np.float64)).get(0, 0)


@settings(deadline=None)
@given(NUMBERS)
def test_a_sum_is_that_of_fractions(numbers: list[float]) -> None:
    assert Fraction(_sum(numbers), 1 << exact.UNIT) == sum(map(Fraction, numbers), Fraction(0))


@settings(deadline=None)
@given(NUMBERS)
def test_a_rounded_sum_is_fsums_to_the_bit(numbers: list[float]) -> None:
    try:
        expected = math.fsum(numbers)
    except OverflowError:  # fsum gives up where it passes infinity on the way
        total = sum(map(Fraction, numbers), Fraction(0))
        beyond = abs(total) >= Fraction(1 << 1024) - (1 << 970)
        expected = float(total) if not beyond else math.inf if total > 0 else -math.inf
    assert exact.rounded(_sum(numbers)) == expected


@settings(deadline=None)
@given(PAIRS)
def test_sums_and_products_of_slots_are_those_of_fractions(rows: list[tuple[int, float, float]]) -> None:
    slots = np.array([slot for slot, _, _ in rows], np.int64)
    left = np.array([a for _, a, _ in rows], np.float64)
    right = np.array([b for _, _, b in rows], np.float64)
    added, crossed = exact.sums(slots, left), exact.products(slots, left, right)
    squared = exact.products(slots, left, left)
    assert exact.sums_and_squares(slots, left) == (added, squared)
    for slot in range(6):
        own = [(Fraction(a), Fraction(b)) for at, a, b in rows if at == slot]
        assert Fraction(added.get(slot, 0), 1 << exact.UNIT) == sum([a for a, _ in own], Fraction(0))
        assert Fraction(crossed.get(slot, 0), 1 << exact.PRODUCT_UNIT) == sum([a * b for a, b in own], Fraction(0))
        assert Fraction(squared.get(slot, 0), 1 << exact.PRODUCT_UNIT) == sum([a * a for a, _ in own], Fraction(0))


def test_wide_exponents_in_many_slots_take_another_way_to_the_same_sums() -> None:
    rng = np.random.default_rng(7)
    numbers = rng.normal(size=500) * 2.0 ** rng.integers(-1000, 1000, 500)
    slots = rng.integers(0, 400, 500)
    found = exact.sums(slots, numbers)
    for slot in np.unique(slots).tolist():
        own = sum(map(Fraction, numbers[slots == slot].tolist()), Fraction(0))
        assert Fraction(found[slot], 1 << exact.UNIT) == own


@settings(deadline=None)
@given(st.lists(FINITE, min_size=2, max_size=40), st.randoms(use_true_random=False), st.integers(1, 39))
def test_any_order_and_partition_gives_the_same_sum(numbers: list[float], random: object, at: int) -> None:
    shuffled = list(numbers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    merged: exact.Sums = {0: _sum(shuffled[:at])}
    exact.merge(merged, {0: _sum(shuffled[at:])})
    assert merged == {0: _sum(numbers)}


@settings(deadline=None)
@given(st.integers(-(1 << 3000), 1 << 3000), st.integers(1, 1 << 3000))
def test_a_quotient_is_rounded_once(numerator: int, denominator: int) -> None:
    value = Fraction(numerator, denominator)
    found = exact.quotient(numerator, denominator)
    if math.isinf(found):
        assert abs(value) >= Fraction(1 << 1024) - (1 << 970)
        assert (found > 0) == (value > 0)
    else:
        assert found == float(value)


@pytest.mark.parametrize(("numerator", "expected"), [(1, math.inf), (-1, -math.inf), (0, math.nan)])
def test_a_division_by_zero_is_that_of_ieee_754(numerator: int, expected: float) -> None:
    np.testing.assert_equal(exact.quotient(numerator, 0), expected)


@settings(deadline=None)
@given(st.integers(0, 1 << 3000), st.integers(1, 1 << 3000))
def test_a_root_is_within_a_unit_in_the_last_place(numerator: int, denominator: int) -> None:
    found = exact.root(numerator, denominator)
    value = Fraction(numerator, denominator)
    if not math.isinf(found):
        low, high = math.nextafter(found, 0), math.nextafter(found, math.inf)
        assert Fraction(low) ** 2 <= value
        assert math.isinf(high) or value <= Fraction(high) ** 2


def test_roots_of_squares_beyond_float64_are_found() -> None:
    assert exact.root(1 << 2000, 1) == 2.0**1000
    assert exact.root(1, 1 << 2100) == 2.0**-1050


def test_too_many_terms_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "MAX_TERMS", 3)
    with pytest.raises(ValueError, match="4 terms; at most 3"):
        _sum([1.0] * 4)
