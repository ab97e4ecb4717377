"""Where a tensor's memory begins changes nothing: a view of a body begins anywhere."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import DataObject
from numpy.typing import NDArray

from schemas.losses import LOSSES
from service.compute import compute, open_device
from tests.contract.answers import bits, parse
from tests.losses.cases import case


def placed(value: Any, offset: int) -> Any:
    """The same arrays, `offset` bytes behind a multiple of 64."""
    if isinstance(value, dict):
        return {name: placed(item, offset) for name, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [placed(item, offset) for item in value]
    if not isinstance(value, np.ndarray):
        return value
    memory = np.empty(value.nbytes + 128, np.uint8)
    begin = -memory.ctypes.data % 64 + offset
    found: NDArray[Any] = memory[begin : begin + value.nbytes].view(value.dtype).reshape(value.shape)
    found[...] = value
    return found


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_answer_does_not_depend_on_where_its_tensors_lie(name: str, data: DataObject) -> None:
    device = open_device("cpu")
    request = data.draw(case(name))
    (known,) = compute([parse(placed(request, 0))], device)
    for offset in (8, 16, 24, 40):
        (found,) = compute([parse(placed(request, offset))], device)
        assert bits(found) == bits(known), f"{offset} bytes off"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matrix_products_do_not_either(dtype: str) -> None:
    device = open_device("cpu")
    rng = np.random.default_rng(11)
    for _ in range(60):
        rows, features, classes = rng.integers(1, 30, 3)
        request = {
            "loss": "linear_cross_entropy",
            "input": rng.standard_normal((rows, features)).astype(dtype),
            "linear_weight": rng.standard_normal((classes, features)).astype(dtype),
            "target": rng.integers(0, classes, rows),
        }
        (known,) = compute([parse(placed(request, 0))], device)
        (found,) = compute([parse(placed(request, 8))], device)
        assert bits(found) == bits(known)
