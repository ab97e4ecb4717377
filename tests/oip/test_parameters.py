"""The options of a loss as parameters of an inference request, and what HTTP says beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.asgi import InProcess
from tests.oip.speaking import answer_of, infer, of_binary, of_json, post

INPUT = np.array([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], np.float32)
TARGET = np.array([0, 2], np.int64)
INPUTS = [of_json("input", INPUT), of_json("target", TARGET)]


def document(**members: Any) -> dict[str, Any]:
    return {"inputs": INPUTS, **members}


# Parameters.


def test_options_are_parameters(client: InProcess) -> None:
    options = {"ignore_index": 2, "label_smoothing": 0.25, "reduction": "sum", "dtype": "float64", "on_empty": "zero"}
    known = client.answer("cross_entropy", input=INPUT.tolist(), target=TARGET.tolist(), **options)
    inputs = [of_json("input", INPUT.astype(np.float64).round(1)), INPUTS[1]]
    answer = infer(client, "cross_entropy", {"inputs": inputs, "parameters": options})
    assert answer.parameters["ignored"] == 1
    assert answer.outputs["loss"] == pytest.approx(known["loss"], rel=1e-6)


@pytest.mark.parametrize("cutoffs", [[2], "[2]", " [ 2 ] "])
def test_a_list_is_a_parameter_outright_or_as_json_text(client: InProcess, cutoffs: Any) -> None:
    example = client.get("/v1/losses/adaptive_log_softmax_with_loss").json()["example"]
    inputs = [of_json(name, np.array(example[name], np.float32)) for name in ("input", "head_weight")]
    inputs += [of_json(f"tail.0.{part}", np.array(found, np.float32)) for part, found in example["tail"][0].items()]
    inputs.append(of_json("target", np.array(example["target"])))
    asked = {"inputs": inputs, "parameters": {"cutoffs": cutoffs, "div_value": 2.0}}
    answer = infer(client, "adaptive_log_softmax_with_loss", asked)
    assert answer.outputs["loss"] == np.float32(client.answer(**example)["loss"])
    assert set(answer.outputs) > {"gradients.tail.0.output", "output"}


def test_the_cotangent_is_an_input(client: InProcess) -> None:
    cotangent = of_json("cotangent", np.array([0.0, 2.0], np.float32))
    asked = {"inputs": [*INPUTS, cotangent], "parameters": {"reduction": "none"}}
    gradient = infer(client, "cross_entropy", asked).outputs["gradients.input"]
    assert not gradient[0].any()
    assert gradient[1].any()


def test_many_cotangents_are_an_input(client: InProcess) -> None:
    cotangents = of_json("cotangents", np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 0.0]], np.float32))
    asked = {"inputs": [*INPUTS, cotangents], "parameters": {"reduction": "none"}}
    products = infer(client, "cross_entropy", asked).outputs["gradients.input"]
    one = of_json("cotangent", np.array([0.0, 2.0], np.float32))
    alone = infer(client, "cross_entropy", {**asked, "inputs": [*INPUTS, one]}).outputs["gradients.input"]
    assert products.shape == (3, *alone.shape)
    assert products[0].tobytes() == alone.tobytes()
    assert not products[2].any()


def test_parameters_that_mean_nothing_here_change_nothing(client: InProcess) -> None:
    asked = document(
        parameters={
            "sequence_id": 7,
            "sequence_start": True,
            "sequence_end": False,
            "priority": 1,
            "timeout": 5_000_000,
        }
    )
    plain = post(client, "cross_entropy", document()).json()
    assert post(client, "cross_entropy", asked).json() == plain
    typed = document(inputs=[{**one, "parameters": {"content_type": "np"}} for one in INPUTS])
    assert post(client, "cross_entropy", typed).json() == plain


# HTTP.


@pytest.mark.parametrize(
    "media",
    [
        None,
        "application/json",
        "application/json; charset=utf-8",
        "application/octet-stream",
        "Application/Octet-Stream; x=y",
        "application/vnd.inference+json",
    ],
)
def test_a_content_type_may_be_missing_json_or_octets(client: InProcess, media: str | None) -> None:
    headers = {} if media is None else {"content_type": media}
    answer_of(post(client, "cross_entropy", document(), **headers))
    inputs = [of_binary("input", INPUT), of_binary("target", TARGET)]
    answer_of(post(client, "cross_entropy", {"inputs": inputs}, INPUT, TARGET, **headers))


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/octet-stream", "application/*;q=0.5"])
@pytest.mark.parametrize("binary", [False, True])
def test_the_request_chooses_the_form_whichever_of_both_is_accepted(
    client: InProcess, accept: str, binary: bool
) -> None:
    response = post(client, "cross_entropy", document(parameters={"binary_data_output": binary}), accept=accept)
    assert ("inference-header-content-length" in response.headers) == binary
    answer_of(response)


def test_server_timing_and_the_request_id_are_told(client: InProcess) -> None:
    response = post(client, "cross_entropy", document(), x_request_id="mine")
    assert response.headers["x-request-id"] == "mine"
    assert [part.split(";")[0] for part in response.headers["server-timing"].split(", ")] == [
        "decode",
        "queue",
        "compute",
        "encode",
    ]
