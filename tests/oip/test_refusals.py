"""Everything that can be wrong with an inference request's members: where it says that the fault is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.asgi import InProcess, pointers
from tests.oip.speaking import faults, of_binary, of_json, refused

INPUT = np.array([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], np.float32)
TARGET = np.array([0, 2], np.int64)
INPUTS = [of_json("input", INPUT), of_json("target", TARGET)]


def document(**members: Any) -> dict[str, Any]:
    return {"inputs": INPUTS, **members}


def first(**changes: Any) -> dict[str, Any]:
    """A request whose first input differs; `None` leaves a member out."""
    one = {name: value for name, value in {**INPUTS[0], **changes}.items() if value is not None}
    return {"inputs": [one, INPUTS[1]]}


# Where it is.


@pytest.mark.parametrize(
    ("changes", "where", "what"),
    [
        ({"name": None}, "/inputs/0/name", "required"),
        ({"name": 5}, "/inputs/0/name", "text"),
        ({"name": "imput"}, "/inputs/0/name", "has no input 'imput'; its inputs are input, target, weight, cotangent"),
        ({"name": "reduction"}, "/inputs/0/name", "give it among the parameters"),
        ({"name": "tail.0.output"}, "/inputs/0/name", "has no input"),
        ({"name": "target"}, "/inputs/1/name", "given twice"),
        ({"shape": None}, "/inputs/0/shape", "required"),
        ({"shape": 6}, "/inputs/0/shape", "list of sizes"),
        ({"shape": [2, -3]}, "/inputs/0/shape/1", "no size"),
        ({"shape": [2, 3.0]}, "/inputs/0/shape/1", "no size"),
        ({"shape": [1] * 9}, "/inputs/0/shape", "at most 8 dims"),
        ({"shape": [2, 4]}, "/inputs/0/data", "6 numbers, but shape [2, 4] needs 8"),
        ({"datatype": None}, "/inputs/0/datatype", "required"),
        ({"data": None}, "/inputs/0/data", "required"),
        ({"data": "AAAA"}, "/inputs/0/data", "no list where shape [2, 3] has 2"),
        ({"data": [1.0, 2.0]}, "/inputs/0/data", "2 numbers"),
        ({"data": [1.0, 2.0, "x", 4.0, 5.0, 6.0]}, "/inputs/0/data/2", '"x" is no number'),
        ({"data": [1.0, 2.0, True, 4.0, 5.0, 6.0]}, "/inputs/0/data/2", "true is no number"),
        ({"data": [[1.0, 2.0, 3.0], [4.0, {}, 6.0]]}, "/inputs/0/data/1/1", "an object is no number"),
        ({"data": [[1.0, 2.0, 3.0], [4.0, 5.0]]}, "/inputs/0/data/1", "a list of 2 where shape [2, 3] has 3"),
        ({"data": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}, "/inputs/0/data", "a list of 3 where shape [2, 3] has 2"),
        ({"parameters": []}, "/inputs/0/parameters", "must be an object"),
        ({"parameters": {"binary_data_size": 24}}, "/inputs/0/data", "given twice"),
        ({"parameters": {"binary_data": 24}}, "/inputs/0/parameters/binary_data", "did you mean binary_data_size?"),
        ({"parameters": {"shared_memory_region": "x"}}, "/inputs/0/parameters/shared_memory_region", "not served"),
        ({"dtype": "FP32"}, "/inputs/0/dtype", "unknown member; did you mean datatype?"),
    ],
)
def test_a_fault_of_an_input_is_told_in_its_place(
    client: InProcess, changes: dict[str, Any], where: str, what: str
) -> None:
    assert what in faults(client, "cross_entropy", first(**changes))[where]


@pytest.mark.parametrize("name", ["UINT16", "UINT32", "UINT64", "BYTES", "FP8", "float32", "fp32", "", 5, []])
def test_a_datatype_that_is_not_served_is_told_with_those_that_are(client: InProcess, name: Any) -> None:
    problem = refused(client, 415, "cross_entropy", first(datatype=name))
    found = pointers(problem)["/inputs/0/datatype"]
    assert "BOOL, UINT8, INT8, INT16, INT32, INT64, FP16, BF16, FP32, FP64" in found


@pytest.mark.parametrize(
    ("datatype", "data", "what"),
    [
        ("INT64", [0, 2.0], "2.0 is no int64 number"),
        ("INT8", [0, 128], "outside int8's range"),
        ("UINT8", [0, -1], "outside uint8's range"),
        ("BOOL", [0, 2], "outside bool's range"),
        ("INT64", [0, "NaN"], "no int64 number"),
        ("INT64", [0, 3], "class index 3 is outside [0, 3)"),
    ],
)
def test_a_number_that_is_not_of_its_datatype_is_told_in_its_place(
    client: InProcess, datatype: str, data: list[Any], what: str
) -> None:
    target = {"name": "target", "shape": [2], "datatype": datatype, "data": data}
    assert what in faults(client, "cross_entropy", {"inputs": [INPUTS[0], target]})["/inputs/1/data/1"]


@pytest.mark.parametrize("form", ["flat", "nested", "binary"])
def test_a_bad_value_is_told_where_it_is_written(client: InProcess, form: str) -> None:
    logits = np.zeros((2, 3, 2), np.float32)
    target = np.array([[0, 1], [7, 2]])
    one = of_binary("target", target) if form == "binary" else of_json("target", target, nested=form == "nested")
    binary = [target] if form == "binary" else []
    found = faults(client, "cross_entropy", {"inputs": [of_json("input", logits), one]}, *binary)
    where, what = {
        "flat": ("/inputs/1/data/2", "class index 7 is outside [0, 3)"),
        "nested": ("/inputs/1/data/1/0", "class index 7 is outside [0, 3)"),
        "binary": ("/inputs/1", "element [1, 0]: class index 7 is outside [0, 3)"),
    }[form]
    assert found == {where: what}


def test_a_bad_value_in_large_json_is_told_where_it_is_written(client: InProcess) -> None:
    target = np.zeros(5000, np.int64)
    target[4321] = -7
    inputs = [of_json("input", np.zeros((5000, 2), np.float32)), of_json("target", target)]
    found = faults(client, "cross_entropy", {"inputs": inputs})
    assert found == {"/inputs/1/data/4321": "class index -7 is outside [0, 2)"}
    inputs[1]["data"][17] = 1.5
    assert "1.5 is no int64 number" in faults(client, "cross_entropy", {"inputs": inputs})["/inputs/1/data/17"]


def test_a_shape_that_does_not_fit_is_told_at_its_input(client: InProcess) -> None:
    target = of_json("target", np.array([0, 1, 2]))
    found = faults(client, "cross_entropy", {"inputs": [INPUTS[0], target]})
    assert found == {"/inputs/1": "shape [3] does not fit [N, *D], which is [2] by input"}


def test_what_is_missing_is_told_by_name(client: InProcess) -> None:
    assert faults(client, "cross_entropy", {"inputs": [INPUTS[0]]}) == {"/inputs": "target: required, but missing"}
    assert faults(client, "cross_entropy", {}) == {"/inputs": "required: a list of inputs"}
    assert faults(client, "cross_entropy", {"inputs": {}}) == {"/inputs": "must be a list of inputs"}
    assert faults(client, "cross_entropy", {"inputs": [INPUTS[0], 5]})["/inputs/1"] == "must be an object"


def test_faults_in_lists_of_tensors_are_told_at_their_inputs(client: InProcess) -> None:
    inputs = [
        of_json("input", np.zeros((1, 4), np.float32)),
        of_json("target", np.array([2])),
        of_json("head_weight", np.zeros((3, 4), np.float32)),
        of_json("tail.1.output", np.zeros((2, 2), np.float32)),
    ]
    problem = refused(client, 422, "adaptive_log_softmax_with_loss", {"inputs": inputs, "parameters": {"cutoffs": [2]}})
    missing = [f"tail.{name}: required, but missing" for name in ("0.projection", "0.output", "1.projection")]
    assert [one["detail"] for one in problem["errors"] if one["pointer"] == "/inputs"] == missing
    inputs[3]["name"] = "tail.0.output"
    inputs.append(of_json("tail.0.projection", np.zeros((3, 4), np.float32)))
    asked = {"inputs": inputs, "parameters": {"cutoffs": [2], "div_value": 2.0}}
    assert "/inputs/4" in faults(client, "adaptive_log_softmax_with_loss", asked)
    found = faults(client, "adaptive_log_softmax_with_loss", {"inputs": inputs})
    assert found["/parameters/cutoffs"] == "required, but missing"
    for name in ("tail.00.output", "tail.x.output", "tail.0.bias", "tail.9999.output", "tail", "tail.0"):
        inputs[3]["name"] = name
        assert "has no input" in faults(client, "adaptive_log_softmax_with_loss", asked)["/inputs/3/name"]
    inputs[3]["name"] = "tail.64.output"
    assert "/inputs" in faults(client, "adaptive_log_softmax_with_loss", asked)


@pytest.mark.parametrize(
    ("parameters", "where", "what"),
    [
        ([], "/parameters", "must be an object"),
        ({"reducton": "sum"}, "/parameters/reducton", "unknown parameter; did you mean reduction?"),
        ({"margin": 1.0}, "/parameters/margin", "unknown parameter"),
        ({"a/b~": 1.0}, "/parameters/a~1b~0", "unknown parameter"),
        ({"weight": [1, 1, 1]}, "/parameters/weight", "give it among the inputs"),
        ({"cotangent": 1.0}, "/parameters/cotangent", "give it among the inputs"),
        ({"loss": "mse_loss"}, "/parameters/loss", "the path names the loss"),
        ({"encoding": "base64"}, "/parameters/encoding", "binary_data_output"),
        ({"reduction": "avg"}, "/parameters/reduction", "'none', 'mean' or 'sum'"),
        ({"reduction": None}, "/parameters/reduction", "'none', 'mean' or 'sum'"),
        ({"label_smoothing": 2}, "/parameters/label_smoothing", "less than or equal to 1"),
        ({"label_smoothing": "0.1"}, "/parameters/label_smoothing", "valid number"),
        ({"dtype": "FP32"}, "/parameters/dtype", "float32"),
        ({"gradients": "input"}, "/parameters/gradients", "the JSON text of one"),
        ({"gradients": '{"a": 1}'}, "/parameters/gradients", "the JSON text of one"),
        ({"gradients": ["weight"]}, "/parameters/gradients/0", "not in the request"),
        ({"timeout": -1}, "/parameters/timeout", "microseconds"),
        ({"timeout": 1.5}, "/parameters/timeout", "microseconds"),
        ({"timeout": "1"}, "/parameters/timeout", "microseconds"),
        ({"timeout": True}, "/parameters/timeout", "microseconds"),
        ({"binary_data_output": 1}, "/parameters/binary_data_output", "true or false"),
        ({"shared_memory_region": "x"}, "/parameters/shared_memory_region", "not served"),
    ],
)
def test_a_fault_of_a_parameter_is_told_in_its_place(client: InProcess, parameters: Any, where: str, what: str) -> None:
    assert what in faults(client, "cross_entropy", document(parameters=parameters))[where]


@pytest.mark.parametrize(
    ("outputs", "where", "what"),
    [
        ({}, "/outputs", "list of outputs"),
        (["loss"], "/outputs/0", "must be an object"),
        ([{}], "/outputs/0/name", "required"),
        ([{"name": 1}], "/outputs/0/name", "text"),
        ([{"name": "los"}], "/outputs/0/name", "its outputs are loss, gradients.input, gradients.target, gradients.w"),
        ([{"name": "output"}], "/outputs/0/name", "has no output 'output'"),
        ([{"name": "gradients.x"}], "/outputs/0/name", "has no output"),
        ([{"name": "gradients.cotangent"}], "/outputs/0/name", "has no output"),
        ([{"name": "loss"}, {"name": "gradients.weight"}], "/outputs/1", "weight is not in the request"),
        ([{"name": "loss"}, {"name": "gradients.target"}], "/outputs/1", "no gradient"),
        ([{"name": "loss"}, {"name": "loss"}], "/outputs/1/name", "named twice"),
        ([{"name": "loss", "parameters": 1}], "/outputs/0/parameters", "must be an object"),
        ([{"name": "loss", "datatype": "FP32"}], "/outputs/0/datatype", "unknown member"),
        (
            [{"name": "loss", "parameters": {"classification": 3}}],
            "/outputs/0/parameters/classification",
            "classification is not served",
        ),
        (
            [{"name": "loss", "parameters": {"shared_memory_byte_size": 3}}],
            "/outputs/0/parameters/shared_memory_byte_size",
            "not served",
        ),
        ([{"name": "loss", "parameters": {"binary_data": "yes"}}], "/outputs/0/parameters/binary_data", "true or fal"),
        (
            [{"name": "loss", "parameters": {"binarydata": True}}],
            "/outputs/0/parameters/binarydata",
            "did you mean binary_data?",
        ),
    ],
)
def test_a_fault_of_an_output_is_told_in_its_place(client: InProcess, outputs: Any, where: str, what: str) -> None:
    assert what in faults(client, "cross_entropy", document(outputs=outputs))[where]


def test_gradients_are_named_by_outputs_or_by_the_parameter_not_both(client: InProcess) -> None:
    asked = document(parameters={"gradients": []}, outputs=[{"name": "gradients.input"}])
    assert "outputs name" in faults(client, "cross_entropy", asked)["/parameters/gradients"]


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"id": 5}, "/id"),
        ({"imputs": []}, "/imputs"),
        ({"model_name": "mse_loss"}, "/model_name"),
        ({"model_name": 1}, "/model_name"),
        ({"model_version": "2"}, "/model_version"),
    ],
)
def test_a_fault_of_the_request_is_told_in_its_place(client: InProcess, members: dict[str, Any], where: str) -> None:
    assert where in faults(client, "cross_entropy", document(**members))


def test_faults_of_all_kinds_are_told_together(client: InProcess) -> None:
    target = {"name": "target", "shape": [2], "datatype": "INT64", "data": [0, 9]}
    asked = {
        "inputs": [INPUTS[0], target, {"name": "weight", "shape": [3], "datatype": "FP32", "data": [1.0, "x", 1.0]}],
        "parameters": {"reducton": 1, "label_smoothing": 7},
        "outputs": [{"name": "nothing"}],
    }
    assert set(faults(client, "cross_entropy", asked)) == {
        "/inputs/1/data/1",
        "/inputs/2/data/1",
        "/parameters/reducton",
        "/parameters/label_smoothing",
        "/outputs/0/name",
    }
