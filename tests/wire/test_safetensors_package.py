"""The safetensors package reads what is written here, and what it writes is read here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors as package
import safetensors.numpy
import safetensors.torch
import torch

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from service.wire import safetensors as wire
from tests.binary import TYPES, Array, unpack

CPU = open_device("cpu")
FLOATING = ["float64", "float32", "float16", "bfloat16"]


def written(result: LossResult) -> bytes:
    return b"".join(wire.encode(result))


def answer(dtype: str, **members: Any) -> LossResult:
    """An answer of that type, unreduced."""
    request = {"input": [[1.5, -2.0, 0.25]], "target": [[1.0, 1.0, 1.0]], "reduction": "none", "dtype": dtype}
    return compute([LOSSES["mse_loss"].model_validate(request | members)], CPU)[0]


@pytest.mark.parametrize("dtype", FLOATING)
def test_an_answer_is_read_by_the_package(dtype: str, tmp_path: Path) -> None:
    result = answer(dtype)
    body = written(result)
    found = safetensors.torch.load(body)
    assert found["loss"].dtype == getattr(torch, dtype)
    assert found["loss"].tolist() == result.loss.astype(np.float64).tolist()
    assert found["gradients.input"].tolist() == [[1.0, -6.0, -1.5]]
    file = tmp_path / "answer.safetensors"
    file.write_bytes(body)
    with package.safe_open(file, "pt") as opened:
        assert json.loads(opened.metadata()["result"])["dtype"] == dtype
        assert sorted(opened.keys()) == ["gradients.input", "loss"]


def test_a_0d_loss_and_tensors_without_elements_are_read_by_the_package() -> None:
    nothing = np.zeros((2, 0, 3), np.float32)
    found = safetensors.numpy.load(written(answer("float32", input=nothing, target=nothing, reduction="sum")))
    assert (found["loss"].shape, found["gradients.input"].shape) == ((), (2, 0, 3))


@pytest.mark.parametrize("dtype", FLOATING)
def test_the_data_of_an_answer_starts_at_a_multiple_of_8_bytes(dtype: str) -> None:
    for reduction in ("mean", "none", "sum"):
        body = written(answer(dtype, reduction=reduction))
        assert (8 + int.from_bytes(body[:8], "little")) % 8 == 0


@pytest.mark.parametrize("code", TYPES)
def test_what_the_package_writes_is_read(code: str) -> None:
    dtype = TYPES[code]
    values = np.random.default_rng(11).integers(0, 2, (3, 5)).astype(dtype)
    arrays: dict[str, Array] = {"first": values, "second": values[1], "0d": np.array(values[0, 0])}
    if code == "BF16":
        tensors = {name: torch.tensor(array.astype(np.float32)).bfloat16() for name, array in arrays.items()}
        body = safetensors.torch.save(tensors, {"request": "{}"})
    else:
        body = safetensors.numpy.save(arrays, {"request": "{}"})
    file = wire.read(body, 64)
    assert file.metadata == {"request": "{}"}
    assert sorted(file.tensors) == sorted(arrays)
    for name, array in arrays.items():
        found = file.tensors[name].array
        assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_a_request_from_torch_tensors_is_answered() -> None:
    tensors = {"input": torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16), "target": torch.tensor([1])}
    body = safetensors.torch.save(tensors, {"request": '{"loss": "cross_entropy"}'})
    result = compute([wire.decode(body, None, max_elements=100)], CPU)[0]
    expected = torch.nn.functional.cross_entropy(tensors["input"].float(), tensors["target"]).bfloat16()
    assert torch.equal(safetensors.torch.load(written(result))["loss"], expected)


@pytest.mark.parametrize("dtype", FLOATING)
def test_this_reader_and_the_package_read_the_same(dtype: str) -> None:
    body = written(answer(dtype))
    theirs = safetensors.torch.load(body)
    ours, _ = unpack(body)
    assert {name: array.astype(np.float64).tolist() for name, array in ours.items()} == {
        name: tensor.tolist() for name, tensor in theirs.items()
    }
