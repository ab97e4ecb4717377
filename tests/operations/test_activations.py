"""Activations are torch's, to the bit, and so are their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.asgi import InProcess
from tests.operations.cases import requests
from tests.operations.wires import computed

OVER_DIM = {"softmax": F.softmax, "log_softmax": F.log_softmax}
ELEMENTWISE = {"sigmoid": torch.sigmoid, "logsigmoid": F.logsigmoid}


def activated(name: str, request: dict[str, Any]) -> tuple[Any, Any]:
    """Output and gradient by torch's autograd."""
    x = torch.from_numpy(request["input"]).requires_grad_()
    scores = x / request.get("temperature", 1.0)
    function: Callable[..., torch.Tensor] = {**OVER_DIM, **ELEMENTWISE}[name]
    output = function(scores, request["dim"]) if name in OVER_DIM else function(scores)
    if "cotangent" not in request:
        return output.detach().numpy(), None
    output.backward(torch.from_numpy(request["cotangent"]))  # type: ignore[no-untyped-call] # torch leaves it so
    return output.detach().numpy(), x.grad


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [*OVER_DIM, *ELEMENTWISE])
def test_they_equal_torch_to_the_bit(name: str, dtype: str) -> None:
    for request in requests(name, dtype, seed=3):
        output, gradient = activated(name, request)
        found = computed(name, request).tensors
        np.testing.assert_array_equal(found["output",], output)
        assert (("gradients", "input") in found) == (gradient is not None)
        if gradient is not None:
            np.testing.assert_array_equal(found["gradients", "input"], gradient)


@pytest.mark.parametrize("name", OVER_DIM)
def test_rows_do_not_depend_on_where_they_lie(name: str) -> None:
    memory = np.random.default_rng(4).normal(size=(5, 33)).astype(np.float32).tobytes()
    for offset in (4, 8, 12, 20):
        moved = np.frombuffer(b"\0" * offset + memory, np.float32, 5 * 33, offset).reshape(5, 33)
        request = {"input": moved, "cotangent": moved}
        fresh = {"input": moved.copy(), "cotangent": moved.copy()}
        for path, array in computed(name, request).tensors.items():
            np.testing.assert_array_equal(array, computed(name, fresh).tensors[path])


def test_large_scores_neither_overflow_nor_vanish(client: InProcess) -> None:
    scores = [1e30, 0.0, -1e30]
    assert client.answer(None, "/v1/softmax", input=scores)["output"] == [1.0, 0.0, 0.0]
    assert client.answer(None, "/v1/logsigmoid", input=scores)["output"][2] == -1e30
    assert client.answer(None, "/v1/sigmoid", input=["Infinity", "-Infinity"])["output"] == [1.0, 0.0]
    assert client.answer(None, "/v1/log_softmax", input=["-Infinity", 2.0])["output"] == ["-Infinity", 0.0]


def test_the_temperature_divides_the_scores(client: InProcess) -> None:
    sharp = client.answer(None, "/v1/softmax", input=[1.0, 2.0, 3.0], temperature=0.5)
    assert sharp["output"] == client.answer(None, "/v1/softmax", input=[2.0, 4.0, 6.0])["output"]
    assert "/temperature" in client.faults(None, "/v1/softmax", input=[1.0], temperature=0)


def test_without_a_cotangent_there_is_no_gradient(client: InProcess) -> None:
    assert client.answer(None, "/v1/sigmoid", input=0.0)["gradients"] == {}
    assert client.answer(None, "/v1/sigmoid", input=0.0, cotangent=1.0)["gradients"] == {"input": 0.25}


@pytest.mark.parametrize(("shape", "dim"), [((), 1), ((), -2), ((2, 3), 2), ((2, 3), -3)])
def test_a_dim_that_is_not_there_is_refused(client: InProcess, shape: tuple[int, ...], dim: int) -> None:
    numbers = np.zeros(shape).tolist()
    assert client.faults(None, "/v1/softmax", input=numbers, dim=dim) == {
        "/dim": f"{dim} is no dim of a tensor that has {len(shape)}"
    }


def test_a_cotangent_has_the_inputs_shape(client: InProcess) -> None:
    assert "/cotangent" in client.faults(None, "/v1/softmax", input=[1.0, 2.0], cotangent=[1.0])
