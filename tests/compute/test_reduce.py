"""Reduction: each request's own sum and divisor, wide enough for half types; means of nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from schemas.dtype import FLOATING
from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from service.compute.reduce import quotient

CPU = open_device("cpu")


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate(members)], CPU)[0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_sums_are_taken_in_float32(dtype: str) -> None:
    # Summed in bfloat16, ones stop at 256, in float16 at 2,048.
    ones = np.ones(4096).astype(FLOATING[dtype])
    found = answer("l1_loss", input=ones, target=np.zeros_like(ones), reduction="sum")
    assert found.loss.dtype == FLOATING[dtype]
    assert float(found.loss) == 4096
    assert float(answer("l1_loss", input=ones, target=np.zeros_like(ones)).loss) == 1


def test_a_mean_in_float16_does_not_overflow_on_its_way() -> None:
    large = np.full(100, 200, np.float16)
    found = answer("mse_loss", input=large, target=np.zeros_like(large))
    assert float(found.loss) == 40_000
    assert math.isinf(float(answer("mse_loss", input=large, target=np.zeros_like(large), reduction="sum").loss))


@pytest.mark.parametrize(
    ("numerator", "divisor", "count", "on_empty", "expected"),
    [
        (6.0, 3.0, 3, "nan", 2.0),
        (0.0, 0.0, 0, "nan", math.nan),
        (0.0, 0.0, 0, "zero", 0.0),
        (0.0, 0.0, 2, "zero", math.nan),
        (1.0, 0.0, 2, "nan", math.inf),
        (-1.0, 0.0, 2, "nan", -math.inf),
        (math.nan, 0.0, 2, "nan", math.nan),
        (0.0, 2.0, 0, "nan", 0.0),
    ],
)
def test_a_quotient_is_ieee_division_and_of_nothing_what_on_empty_says(
    numerator: float, divisor: float, count: int, on_empty: str, expected: float
) -> None:
    np.testing.assert_equal(quotient(numerator, divisor, count, on_empty), expected)


def test_sums_and_divisors_of_parts_make_the_mean_of_the_whole() -> None:
    rng = np.random.default_rng(7)
    logits, target = rng.normal(size=(12, 4)), rng.integers(0, 4, 12)
    options: dict[str, Any] = {"weight": rng.uniform(0.5, 2, 4), "ignore_index": 1}
    whole = answer("cross_entropy", input=logits, target=target, **options)
    parts = [
        answer("cross_entropy", input=logits[part], target=target[part], reduction="sum", **options)
        for part in (slice(0, 5), slice(5, 12))
    ]
    divisors = [part.divisor for part in parts if part.divisor is not None]
    assert float(whole.loss) == pytest.approx(sum(float(p.loss) for p in parts) / sum(divisors), rel=1e-12)


def test_batchmean_over_rows_without_elements_is_zero_as_in_torch() -> None:
    empty = np.zeros((2, 0))
    for on_empty in ("nan", "error"):
        found = answer("kl_div", input=empty, target=empty, reduction="batchmean", on_empty=on_empty)
        assert (float(found.loss), found.divisor, found.count) == (0, 2, 0)
