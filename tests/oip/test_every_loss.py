"""Every loss of the catalogue, by the Open Inference Protocol: to the bit what /v1/loss answers."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import DataObject

from schemas.losses import LOSSES
from tests.asgi import InProcess
from tests.losses.cases import Request, case
from tests.oip.speaking import NUMBERS, Array, infer, of_binary, of_json, tensors

TYPES = {"float64": "FP64", "float32": "FP32", "float16": "FP16", "bfloat16": "BF16"}


def jsonable(value: Any) -> Any:
    """A request for /v1/loss with its arrays as base64."""
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"dtype": value.dtype.name, "shape": list(value.shape), "data": data}
    if isinstance(value, list):
        return [jsonable(item) for item in value]
    if isinstance(value, dict):
        return {name: jsonable(item) for name, item in value.items()}
    return value


def array_of(value: Any, dtype: Any) -> Array:
    """A tensor of an answer with base64."""
    if isinstance(value, dict):
        return np.frombuffer(base64.b64decode(value["data"]), dtype).reshape(value["shape"])
    return np.array(NUMBERS.get(value, value) if isinstance(value, str) else value, np.float64).astype(dtype)


def same(one: Array, other: Array) -> bool:
    """Equal to the bit, but for which NaN it is."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    wide, wider = one.astype(np.float64), other.astype(np.float64)
    signs = np.array_equal(np.signbit(wide)[~np.isnan(wide)], np.signbit(wider)[~np.isnan(wider)])
    return signs and np.array_equal(wide, wider, equal_nan=True)


@pytest.mark.parametrize("form", ["json", "nested", "binary", "mixed"])
@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_inference_answers_what_the_loss_itself_does(
    client: InProcess, name: str, form: str, data: DataObject
) -> None:
    drawn: Request = data.draw(case(name))
    request = {
        member: "Infinity" if isinstance(value, float) and math.isinf(value) else value
        for member, value in drawn.items()
    }
    known = client.answer(**jsonable(request), encoding="base64")

    given_tensors, rest = tensors(request)
    inputs, binary = [], []
    for at, (tensor, array) in enumerate(given_tensors.items()):
        if form == "binary" or (form == "mixed" and at % 2):
            inputs.append(of_binary(tensor, array))
            binary.append(array)
        else:
            inputs.append(of_json(tensor, array, nested=form == "nested"))
    asked_by_output = "gradients" in rest and data.draw(st.booleans())
    document: dict[str, Any] = {"inputs": inputs}
    if asked_by_output:
        wanted = ["loss", *(f"gradients.{one}" for one in rest.pop("gradients")), *LOSSES[name].extra_answers]
        document["outputs"] = [{"name": one, "parameters": {"binary_data": form != "json"}} for one in wanted]
    else:
        rest["binary_data_output"] = form != "json"
    if "gradients" in rest:
        rest["gradients"] = json.dumps(rest["gradients"])
    document["parameters"] = rest
    answer = infer(client, name, document, *binary)

    told = dict(answer.parameters)
    assert json.loads(told.pop("warnings")) == known["warnings"]
    assert json.loads(told.pop("terms", "null")) == known.get("terms")
    assert told.pop("divisor", None) == known["divisor"]
    assert told == {member: known[member] for member in ("reduction", "count", "ignored", "dtype")}
    assert {entry["datatype"] for entry in answer.document["outputs"]} == {TYPES[known["dtype"]]}
    expected = {"loss": known["loss"], **{f"gradients.{one}": tensor for one, tensor in known["gradients"].items()}}
    expected |= {extra: known[extra] for extra in LOSSES[name].extra_answers}
    assert answer.outputs.keys() == expected.keys()
    for output, array in answer.outputs.items():
        assert same(array, array_of(expected[output], array.dtype)), output


@pytest.mark.parametrize("name", LOSSES)
def test_the_example_of_the_catalogue_is_an_inference_too(client: InProcess, name: str) -> None:
    example = client.get(f"/v1/losses/{name}").json()["example"]
    known = client.answer(**example)
    given_tensors, rest = tensors(example)
    inputs = [
        of_json(tensor, array.astype(np.float32) if array.dtype == np.float64 else array)
        for tensor, array in given_tensors.items()
    ]
    answer = infer(client, name, {"inputs": inputs, "parameters": rest})
    assert answer.outputs["loss"] == np.float32(known["loss"])
    assert set(answer.outputs) == {
        "loss",
        *(f"gradients.{one}" for one in known["gradients"]),
        *LOSSES[name].extra_answers,
    }
