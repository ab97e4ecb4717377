from __future__ import annotations

import json
import struct

import numpy as np
from numpy.typing import NDArray

from benchmarks.http import safetensors
from benchmarks.http.cases import CASES, Ask, problems, torch_answer
from benchmarks.http.dialects import LOSS


def test_safetensors_read_back_and_lie_aligned() -> None:
    tensors: dict[str, NDArray[np.generic]] = {
        "input": np.ones((3, 5), np.float32),
        "target": np.arange(3),
        "loss": np.array(2, np.float32),
    }
    body = safetensors.write(tensors, {"request": "{}"})
    (length,) = struct.unpack_from("<Q", body)
    header = json.loads(body[8 : 8 + length])
    assert header["__metadata__"] == {"request": "{}"}
    assert all((8 + length + header[name]["data_offsets"][0]) % array.itemsize == 0 for name, array in tensors.items())
    assert all(np.array_equal(safetensors.read(body)[name], array) for name, array in tensors.items())


def test_a_batch_holds_its_tensors_by_index() -> None:
    call = problems([Ask("cross_entropy", 1, 4), Ask("mse_loss", 2, 3)])
    found = safetensors.read(LOSS["binary batch"].encode(call))
    assert sorted(found) == ["0.input", "0.target", "1.input", "1.target"]
    assert np.array_equal(found["1.target"], call[1].target)


def test_json_numbers_read_back_the_same() -> None:
    (asked,) = call = problems([Ask("smooth_l1_loss", 3, 50)])
    members = json.loads(LOSS["json"].encode(call))
    assert members["loss"] == "smooth_l1_loss"
    assert np.array_equal(np.array(members["input"], np.float32), asked.input)


def test_torch_answers_every_loss_of_the_mix() -> None:
    (mixed,) = (case for case in CASES if case.name == "json-mixed")
    for (ask,) in mixed.calls:
        (asked,) = problems([ask])
        assert np.isfinite(torch_answer(asked).loss)
        assert torch_answer(asked).gradient.shape == (ask.rows, ask.columns)
