"""The same to the bit through every wire, over the whole catalogue."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import DataObject

from schemas.dtype import FLOATING
from schemas.losses import LOSSES
from service.compute import compute, open_device
from tests.asgi import InProcess
from tests.contract.answers import Request, parse
from tests.contract.wires import WIRES, Wire, bits, computed
from tests.losses.cases import case

CPU = open_device("cpu")
DRAWN = settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
each_wire = pytest.mark.parametrize("wire", WIRES, ids=[wire.name for wire in WIRES])


def assert_brings(wire: Wire, client: InProcess, request: Request) -> None:
    """The wire's answer is that of the computation, to the bit."""
    expected = computed(compute([parse(request)], CPU)[0])
    assert bits(wire.send(client, request), lists=wire.lists) == bits(expected, lists=wire.lists)


@each_wire
@pytest.mark.parametrize("name", LOSSES)
@DRAWN
@given(data=st.data())
def test_every_loss_is_the_same_through_every_wire(client: InProcess, wire: Wire, name: str, data: DataObject) -> None:
    assert_brings(wire, client, data.draw(case(name)))


@each_wire
@pytest.mark.parametrize("dtype", FLOATING)
def test_awkward_numbers_come_through(client: InProcess, wire: Wire, dtype: str) -> None:
    smallest = np.nextafter(FLOATING[dtype].type(0), FLOATING[dtype].type(1)).astype(np.float64)
    values = [0.0, -0.0, 1.0, 0.1, 1 / 3, 3e-5, -65504.0, 1e30, smallest, np.inf, -np.inf, np.nan]
    with np.errstate(over="ignore"):
        v = np.array([values], np.float64).astype(FLOATING[dtype])
    # The gradient of kl_div in input is -target * v, and the loss is -0.0 or 0.0.
    zeros, ones = np.zeros(v.shape, FLOATING[dtype]), np.ones(v.shape, FLOATING[dtype])
    request = {"loss": "kl_div", "input": zeros, "target": ones, "cotangent": v, "reduction": "none"}
    assert_brings(wire, client, request)
    assert_brings(wire, client, {"loss": "mse_loss", "input": v, "target": ones, "reduction": "none"})


@each_wire
@pytest.mark.parametrize("dtype", FLOATING)
def test_large_requests_come_through(client: InProcess, wire: Wire, dtype: str) -> None:
    rng = np.random.default_rng(12)
    request = {
        "loss": "cross_entropy",
        "input": rng.normal(size=(64, 1000)).astype(FLOATING[dtype]),
        "target": rng.integers(0, 1000, 64),
        "weight": rng.uniform(0.5, 2, 1000).astype(FLOATING[dtype]),
    }
    assert_brings(wire, client, request)
    assert_brings(wire, client, {**request, "reduction": "none", "gradients": []})


@each_wire
def test_warnings_and_a_divisor_that_is_no_number_come_through(client: InProcess, wire: Wire) -> None:
    weight = np.array([np.nan, 1.0], np.float32)
    members = {"input": np.ones((2, 2), np.float32), "target": np.array([0, 1]), "weight": weight}
    request = {"loss": "cross_entropy", **members, "size_average": False}
    assert_brings(wire, client, request)
    answer = wire.send(client, request)
    assert answer.facts["divisor"] == "NaN"
    assert answer.facts["warnings"] == ["size_average is deprecated: use reduction"]
