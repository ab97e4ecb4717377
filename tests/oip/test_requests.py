"""What inference requests may say, and how it is answered."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from schemas.losses import LOSSES
from service.wire import large_json, oip
from tests.asgi import InProcess
from tests.oip.speaking import DATATYPES, answer_of, infer, of_binary, of_json, post

INPUT = np.array([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], np.float32)
TARGET = np.array([0, 2], np.int64)
INPUTS = [of_json("input", INPUT), of_json("target", TARGET)]


def document(**members: Any) -> dict[str, Any]:
    return {"inputs": INPUTS, **members}


@pytest.fixture(scope="module")
def known(client: InProcess) -> dict[str, Any]:
    return client.answer("cross_entropy", input=INPUT.tolist(), target=TARGET.tolist())


def test_without_outputs_all_are_answered_as_flat_json(client: InProcess, known: dict[str, Any]) -> None:
    response = post(client, "cross_entropy", document())
    assert "inference-header-content-length" not in response.headers
    found = response.json()
    assert found["model_name"] == "cross_entropy"
    assert found["model_version"] == "1"
    assert "id" not in found
    flat = [number for row in known["gradients"]["input"] for number in row]
    assert found["outputs"] == [
        {"name": "loss", "datatype": "FP32", "shape": [], "data": [known["loss"]]},
        {"name": "gradients.input", "datatype": "FP32", "shape": [2, 3], "data": flat},
    ]


def test_the_parameters_of_an_answer_tell_all_but_its_tensors(client: InProcess) -> None:
    weight = of_json("weight", np.array([1.0, 2.0, 0.5], np.float32))
    answer = infer(client, "cross_entropy", {"inputs": [*INPUTS, weight], "parameters": {"size_average": False}})
    told = answer.parameters
    warnings = json.loads(told.pop("warnings"))
    assert warnings == ["size_average is deprecated: use reduction"]
    assert told == {"reduction": "sum", "divisor": 1.5, "count": 2, "ignored": 0, "dtype": "float32"}


def test_a_divisor_that_is_no_quotient_is_left_out(client: InProcess) -> None:
    example = client.get("/v1/losses/ctc_loss").json()["example"]
    inputs = [of_json("log_probs", np.array(example["log_probs"], np.float32))]
    inputs += [of_json(name, np.array(example[name])) for name in ("targets", "input_lengths", "target_lengths")]
    assert "divisor" not in infer(client, "ctc_loss", {"inputs": inputs}).parameters


@pytest.mark.parametrize("name", ["cross_entropy", "CrossEntropyLoss"])
@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_a_model_goes_by_its_names_and_its_version(
    client: InProcess, known: dict[str, Any], name: str, version: str
) -> None:
    response = client.request("POST", f"/v2/models/{name}{version}/infer", json=document())
    assert answer_of(response).outputs["loss"] == np.float32(known["loss"])
    assert response.json()["model_name"] == "cross_entropy"


@pytest.mark.parametrize("identifier", ["42", "", "null", "\u2202", "x" * 1000])
@pytest.mark.parametrize("binary", [False, True])
def test_an_id_comes_back(client: InProcess, identifier: str, binary: bool) -> None:
    asked = document(id=identifier, parameters={"binary_data_output": binary})
    assert infer(client, "cross_entropy", asked).document["id"] == identifier


def test_members_that_are_null_are_left_out(client: InProcess) -> None:
    inputs = [{**one, "parameters": None} for one in INPUTS]
    asked = {"id": None, "parameters": None, "inputs": inputs, "outputs": None}
    answer = infer(client, "cross_entropy", asked)
    assert "id" not in answer.document
    assert len(answer.outputs) == 2


def test_a_body_may_repeat_what_the_path_says(client: InProcess) -> None:
    for model in ({"model_name": "cross_entropy"}, {"model_name": "CrossEntropyLoss", "model_version": "1"}):
        assert len(infer(client, "cross_entropy", document(**model)).outputs) == 2


# Outputs.


@pytest.mark.parametrize(
    ("outputs", "gradients"),
    [(["loss"], ()), (["gradients.input"], ("input",)), (["loss", "gradients.input"], ("input",))],
)
def test_only_the_gradients_that_are_asked_for_are_computed(outputs: list[str], gradients: tuple[str, ...]) -> None:
    body = json.dumps(document(outputs=[{"name": name} for name in outputs])).encode()
    call = oip.decode(body, LOSSES["cross_entropy"], None, max_elements=100)
    assert call.request.checked.gradients == gradients


def test_the_loss_alone_is_answered_alone(client: InProcess) -> None:
    assert set(infer(client, "cross_entropy", document(outputs=[{"name": "loss"}])).outputs) == {"loss"}


def test_outputs_come_in_the_order_in_which_they_were_asked_for(client: InProcess) -> None:
    probabilities = of_json("target", np.full((2, 3), 1 / 3, np.float32))
    wanted = ["gradients.target", "loss", "gradients.input"]
    asked = {"inputs": [INPUTS[0], probabilities], "outputs": [{"name": name} for name in wanted]}
    answer = infer(client, "cross_entropy", asked)
    assert [entry["name"] for entry in answer.document["outputs"]] == wanted
    assert answer.outputs["gradients.target"].shape == (2, 3)


def test_an_empty_list_of_outputs_asks_for_all(client: InProcess) -> None:
    assert set(infer(client, "cross_entropy", document(outputs=[])).outputs) == {"loss", "gradients.input"}


@pytest.mark.parametrize("gradients", [["input"], '["input"]'])
def test_gradients_may_be_a_parameter(client: InProcess, gradients: Any) -> None:
    weight = of_json("weight", np.ones(3, np.float32))
    asked = {"inputs": [*INPUTS, weight], "parameters": {"gradients": gradients}}
    assert set(infer(client, "cross_entropy", asked).outputs) == {"loss", "gradients.input"}
    asked["parameters"] = {"gradients": "[]"}
    assert set(infer(client, "cross_entropy", asked).outputs) == {"loss"}


@pytest.mark.parametrize("default", [None, False, True])
@pytest.mark.parametrize("own", [None, False, True])
def test_each_output_chooses_its_form_else_the_request_does(
    client: InProcess, default: bool | None, own: bool | None
) -> None:
    parameters = {} if default is None else {"binary_data_output": default}
    chosen = (
        {"name": "gradients.input"} if own is None else {"name": "gradients.input", "parameters": {"binary_data": own}}
    )
    answer = infer(client, "cross_entropy", document(parameters=parameters, outputs=[{"name": "loss"}, chosen]))
    loss, gradient = answer.document["outputs"]
    assert ("data" in loss) == (not default)
    assert ("data" in gradient) == (not (default if own is None else own))


def test_binary_data_starts_at_a_multiple_of_eight_bytes(client: InProcess) -> None:
    for length in range(9):
        asked = document(id="x" * length, parameters={"binary_data_output": True})
        response = post(client, "cross_entropy", asked)
        assert int(response.headers["inference-header-content-length"]) % 8 == 0
        answer_of(response)


# Inputs.


@pytest.mark.parametrize("name", DATATYPES)
@pytest.mark.parametrize("form", ["flat", "nested", "binary"])
def test_every_datatype_is_read_in_every_form(client: InProcess, name: str, form: str) -> None:
    array = np.array([[1, 0, 1], [0, 0, 1]]).astype(DATATYPES[name])
    zeros = np.zeros((2, 3), np.float32)
    one = of_binary("input", array) if form == "binary" else of_json("input", array, nested=form == "nested")
    asked = {"inputs": [one, of_json("target", zeros)], "parameters": {"reduction": "none"}}
    answer = infer(client, "mse_loss", asked, *([array] if form == "binary" else []))
    assert np.array_equal(answer.outputs["loss"].astype(np.float32), array.astype(np.float32))
    widest = name if name in ("FP64", "FP32") else "FP32"
    assert answer.document["outputs"][0]["datatype"] == widest


@pytest.mark.parametrize("name", ["FP16", "BF16"])
@pytest.mark.parametrize("binary", [False, True])
def test_half_types_are_answered_in_both_forms(client: InProcess, name: str, binary: bool) -> None:
    array = np.array([1.5, -0.25, 3.0]).astype(DATATYPES[name])
    inputs = [of_json("input", array), of_json("target", np.zeros(3, array.dtype))]
    asked = {"inputs": inputs, "parameters": {"reduction": "none", "binary_data_output": binary}}
    answer = infer(client, "mse_loss", asked)
    assert answer.outputs["loss"].dtype == array.dtype
    assert answer.outputs["loss"].astype(np.float64).tolist() == [2.25, 0.0625, 9.0]


def test_booleans_are_written_as_such_or_as_numbers(client: InProcess) -> None:
    zeros = of_json("target", np.zeros((1, 2), np.float32))
    for data in ([True, False], [1, 0], [[True, False]], [[1, 0]]):
        one = {"name": "input", "shape": [1, 2], "datatype": "BOOL", "data": data}
        answer = infer(client, "mse_loss", {"inputs": [one, zeros], "parameters": {"reduction": "none"}})
        assert answer.outputs["loss"].tolist() == [[1.0, 0.0]]


def test_any_byte_but_zero_is_true(client: InProcess) -> None:
    odd = np.array([0, 1, 255], np.uint8)
    one = {"name": "input", "shape": [3], "datatype": "BOOL", "parameters": {"binary_data_size": 3}}
    asked = {"inputs": [one, of_json("target", np.zeros(3, np.float32))], "parameters": {"reduction": "none"}}
    assert infer(client, "mse_loss", asked, odd).outputs["loss"].tolist() == [0.0, 1.0, 1.0]


def test_what_is_no_number_is_a_string_both_ways(client: InProcess) -> None:
    one = {"name": "input", "shape": [3], "datatype": "FP32", "data": ["NaN", "-Infinity", 2.0]}
    asked = {"inputs": [one, of_json("target", np.zeros(3, np.float32))], "parameters": {"reduction": "none"}}
    found = post(client, "mse_loss", asked).json()["outputs"]
    assert found[0]["data"] == ["NaN", "Infinity", 4.0]
    assert found[1]["data"] == ["NaN", "-Infinity", 4.0]


@pytest.mark.parametrize("data", [[3.0], 3.0])
def test_a_0d_tensor_has_an_empty_shape(client: InProcess, data: Any) -> None:
    inputs = [
        {"name": "input", "shape": [], "datatype": "FP32", "data": data},
        {"name": "target", "shape": [], "datatype": "FP32", "data": [1.0]},
    ]
    answer = infer(client, "mse_loss", {"inputs": inputs})
    for output in answer.outputs.values():
        assert output.shape == ()
        assert output == 4.0


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
@pytest.mark.parametrize("binary", [False, True])
def test_a_tensor_without_elements_keeps_its_shape(client: InProcess, shape: tuple[int, ...], binary: bool) -> None:
    nothing = np.zeros(shape, np.float32)
    make = of_binary if binary else of_json
    asked = {
        "inputs": [make("input", nothing), make("target", nothing)],
        "parameters": {"reduction": "none", "binary_data_output": binary},
    }
    answer = infer(client, "mse_loss", asked, *([nothing, nothing] if binary else []))
    assert answer.outputs["loss"].shape == answer.outputs["gradients.input"].shape == shape


@pytest.mark.parametrize("offset", range(8))
def test_binary_data_may_begin_anywhere(client: InProcess, known: dict[str, Any], offset: int) -> None:
    inputs = [of_binary("input", INPUT), of_binary("target", TARGET)]
    answer = infer(client, "cross_entropy", {"id": "x" * offset, "inputs": inputs}, INPUT, TARGET)
    assert answer.outputs["loss"] == np.float32(known["loss"])


def test_inputs_may_come_in_any_order_and_any_mix_of_forms(client: InProcess, known: dict[str, Any]) -> None:
    weight = np.ones(3, np.float64)
    inputs = [of_binary("target", TARGET), of_json("weight", weight), of_binary("input", INPUT)]
    answer = infer(client, "cross_entropy", {"inputs": inputs, "parameters": {"dtype": "float32"}}, TARGET, INPUT)
    assert answer.outputs["loss"] == np.float32(known["loss"])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["FP32", "INT32"])
def test_large_json_is_read_as_any(client: InProcess, nested: bool, kind: str) -> None:
    rng = np.random.default_rng(5)
    array = (rng.standard_normal((64, 100)) * 100).astype(DATATYPES[kind])
    target = rng.integers(0, 100, 64)
    inputs = [of_json("input", array, nested=nested), of_json("target", target)]
    assert len(json.dumps(inputs)) > large_json.LEAST_BYTES
    found = infer(client, "cross_entropy", {"inputs": inputs})
    binary = infer(
        client, "cross_entropy", {"inputs": [of_binary("input", array), of_binary("target", target)]}, array, target
    )
    for name, output in found.outputs.items():
        assert output.tobytes() == binary.outputs[name].tobytes()


def test_what_is_no_number_is_a_string_in_large_answers_too(client: InProcess) -> None:
    values = np.random.default_rng(6).standard_normal((60, 70)).astype(np.float32)
    values[3, 4], values[50, 1], values[59, 69] = np.nan, np.inf, -np.inf
    inputs = [of_binary("input", values), of_json("target", np.zeros((60, 70), np.float32))]
    text = {"id": "null", "inputs": inputs, "parameters": {"reduction": "none"}}
    binary = {"inputs": inputs, "parameters": {"reduction": "none", "binary_data_output": True}}
    found, known = infer(client, "mse_loss", text, values), infer(client, "mse_loss", binary, values)
    assert found.document["id"] == "null"
    for name, output in known.outputs.items():
        assert np.array_equal(output, found.outputs[name], equal_nan=True)
