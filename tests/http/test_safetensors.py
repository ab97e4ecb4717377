"""safetensors over HTTP: requests whose tensors are binary, and answers whose tensors are."""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from schemas.catalogue import example
from schemas.losses import ALIASES, LOSSES
from tests.asgi import InProcess, pointers, problem_of, strict
from tests.binary import MEDIA_TYPE, Array, forge, pack, unpack
from tests.examples import arrays_of

ONES = np.ones((2, 3), np.float32)
PAIR = {"input": np.arange(6, dtype=np.float32).reshape(2, 3), "target": ONES}


def ask(
    client: InProcess, tensors: dict[str, Array], /, path: str = "/v1/loss", **members: Any
) -> tuple[dict[str, Array], dict[str, Any]]:
    """The tensors of an answer, and what is told of them."""
    response = client.post(pack(tensors, **members), path, content_type=MEDIA_TYPE)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.headers["x-request-id"]
    assert "decode" in response.headers["server-timing"]
    found, metadata = unpack(response.content)
    assert list(metadata) == ["result"]
    result: dict[str, Any] = strict(metadata["result"])
    return found, result


def refusal(client: InProcess, status: int, body: bytes, path: str = "/v1/loss") -> dict[str, Any]:
    return problem_of(client.post(body, path, content_type=MEDIA_TYPE), status)


def test_an_answer_has_its_tensors_and_all_else_in_result(client: InProcess) -> None:
    tensors, result = ask(client, PAIR, loss="mse_loss")
    assert sorted(tensors) == ["gradients.input", "loss"]
    assert tensors["loss"].shape == ()
    assert tensors["loss"] == np.float32(31 / 6)
    assert tensors["gradients.input"].tolist() == ((PAIR["input"] - 1) / 3).tolist()
    assert result == {
        "reduction": "mean", "divisor": 6, "count": 6, "ignored": 0, "dtype": "float32", "warnings": [],
    }  # fmt: skip


def test_none_answers_the_unreduced_tensor(client: InProcess) -> None:
    tensors, result = ask(client, PAIR, loss="mse_loss", reduction="none")
    assert tensors["loss"].tolist() == [[1, 0, 1], [4, 9, 16]]
    assert (result["reduction"], result["divisor"]) == ("none", 6)


def test_no_gradients_are_no_tensors(client: InProcess) -> None:
    tensors, _ = ask(client, PAIR, loss="mse_loss", gradients=[])
    assert list(tensors) == ["loss"]


def test_gradients_are_named_by_their_tensors(client: InProcess) -> None:
    tensors, _ = ask(client, PAIR, loss="mse_loss", gradients=["target", "input"])
    assert sorted(tensors) == ["gradients.input", "gradients.target", "loss"]
    assert tensors["gradients.target"].tolist() == (-tensors["gradients.input"]).tolist()


@pytest.mark.parametrize("encoding", ["list", "base64"])
def test_encoding_is_for_json_and_changes_nothing_here(client: InProcess, encoding: str) -> None:
    assert ask(client, PAIR, loss="mse_loss", encoding=encoding)[0].keys() == {"loss", "gradients.input"}
    body = pack(PAIR, loss="mse_loss", encoding=encoding)
    answer = client.post(body, content_type=MEDIA_TYPE, accept="application/json").json()
    assert isinstance(answer["gradients"]["input"], dict) == (encoding == "base64")


def test_a_json_request_may_be_answered_in_safetensors(client: InProcess) -> None:
    members = {"loss": "mse_loss", **{name: array.tolist() for name, array in PAIR.items()}}
    response = client.post(json.dumps(members).encode(), accept=MEDIA_TYPE)
    assert unpack(response.content)[0]["loss"] == ask(client, PAIR, loss="mse_loss")[0]["loss"]


def test_a_cotangent_is_a_tensor_like_any(client: InProcess) -> None:
    v = np.array([[1, 0, -1], [2, 0.5, 0]], np.float32)
    tensors, _ = ask(client, {**PAIR, "cotangent": v}, loss="mse_loss", reduction="none")
    assert tensors["gradients.input"].tolist() == (2 * (PAIR["input"] - 1) * v).tolist()
    scalar, _ = ask(client, {**PAIR, "cotangent": np.array(3, np.float32)}, loss="mse_loss", reduction="sum")
    assert scalar["gradients.input"].tolist() == (6 * (PAIR["input"] - 1)).tolist()
    problem = refusal(client, 422, pack({**PAIR, "cotangent": v}, loss="mse_loss"))
    assert list(pointers(problem)) == ["/cotangent"]


def test_many_cotangents_are_a_tensor_with_their_number_in_front(client: InProcess) -> None:
    v = np.array([1, -2, 0], np.float32)
    tensors, _ = ask(client, {**PAIR, "cotangents": v}, loss="mse_loss", reduction="sum")
    assert tensors["gradients.input"].tolist() == [(2 * (PAIR["input"] - 1) * one).tolist() for one in v]
    problem = refusal(client, 422, pack({**PAIR, "cotangents": v}, loss="mse_loss", reduction="none"))
    assert list(pointers(problem)) == ["/cotangents"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_the_answer_has_the_requests_type(client: InProcess, dtype: Any) -> None:
    tensors, result = ask(client, {name: array.astype(dtype) for name, array in PAIR.items()}, loss="mse_loss")
    assert {array.dtype for array in tensors.values()} == {np.dtype(dtype)}
    assert result["dtype"] == np.dtype(dtype).name


def test_the_type_may_be_told(client: InProcess) -> None:
    tensors, result = ask(client, PAIR, loss="mse_loss", dtype="bfloat16")
    assert tensors["gradients.input"].dtype == np.dtype(ml_dtypes.bfloat16)
    assert result["dtype"] == "bfloat16"


def test_the_adaptive_softmax_has_its_extra_tensor_and_its_tail(client: InProcess) -> None:
    cls = LOSSES["adaptive_log_softmax_with_loss"]
    arrays, members = arrays_of(cls)
    named = ["input", "tail.0.output"]
    tensors, _ = ask(client, arrays, **members, gradients=named)
    assert sorted(tensors) == ["gradients.input", "gradients.tail.0.output", "loss", "output"]
    answer = client.answer(**{**example(cls), "gradients": named})
    assert tensors["output"].tolist() == pytest.approx(answer["output"], rel=1e-6)


def test_warnings_and_a_divisor_that_is_no_number_are_in_result(client: InProcess) -> None:
    weight = np.array([np.nan, 1, 1], np.float32)
    tensors = {"input": ONES, "target": np.array([0, 1]), "weight": weight}
    found, result = ask(client, tensors, loss="cross_entropy", size_average=True)
    assert np.isnan(found["loss"])
    assert result["divisor"] == "NaN"
    assert result["warnings"] == ["size_average is deprecated: use reduction"]


def test_tensors_without_elements_are_answered(client: InProcess) -> None:
    nothing = np.zeros((2, 0), np.float32)
    tensors, result = ask(client, {"input": nothing, "target": nothing}, loss="mse_loss")
    assert np.isnan(tensors["loss"])
    assert tensors["gradients.input"].shape == (2, 0)
    assert result["count"] == 0


@pytest.mark.parametrize("name", LOSSES)
def test_a_typed_operation_needs_no_name_of_the_loss(client: InProcess, name: str) -> None:
    arrays, members = arrays_of(LOSSES[name])
    by_member, _ = ask(client, arrays, **members)
    members.pop("loss")
    by_path, _ = ask(client, arrays, path=f"/v1/losses/{name}", **members)
    assert {at: array.tobytes() for at, array in by_path.items()} == {
        at: array.tobytes() for at, array in by_member.items()
    }


def test_a_typed_operation_is_found_by_its_alias_and_refuses_another_loss(client: InProcess) -> None:
    assert ALIASES["MSELoss"] == "mse_loss"
    assert ask(client, PAIR, path="/v1/losses/MSELoss")[0]["loss"] == np.float32(31 / 6)
    problem = refusal(client, 422, pack(PAIR, loss="l1_loss"), "/v1/losses/mse_loss")
    assert list(pointers(problem)) == ["/loss"]


def test_a_body_without_any_metadata_is_a_request_at_a_typed_operation(client: InProcess) -> None:
    entry = {"dtype": "F32", "shape": [1]}
    header = {"input": {**entry, "data_offsets": [0, 4]}, "target": {**entry, "data_offsets": [4, 8]}}
    body = forge(header, np.array([3, 1], np.float32).tobytes())
    response = client.post(body, "/v1/losses/mse_loss", content_type=MEDIA_TYPE)
    assert unpack(response.content)[0]["loss"] == 4.0


def test_an_unsound_body_is_malformed_without_errors(client: InProcess) -> None:
    sound = pack(PAIR, loss="mse_loss")
    for body in (b"", b"{}", sound[:-1], sound + b"\0", sound[1:], b'{"loss": "mse_loss"}'):
        assert "errors" not in refusal(client, 400, body)


def test_a_dtype_that_is_not_served_is_415_at_its_tensor(client: InProcess) -> None:
    entry = {"dtype": "U64", "shape": [1], "data_offsets": [0, 8]}
    problem = refusal(client, 415, forge({"input": entry}, b"\0" * 8))
    assert list(pointers(problem)) == ["/input/dtype"]
    assert "U64" in problem["detail"]


def test_faults_of_values_are_told_where_they_are(client: InProcess) -> None:
    target = np.array([0, 7])
    problem = refusal(client, 422, pack({"input": ONES, "target": target}, loss="cross_entropy", reduction="most"))
    assert set(pointers(problem)) == {"/target/1", "/reduction"}


def test_all_faults_of_a_body_are_told_together(client: InProcess) -> None:
    problem = refusal(client, 422, pack({**PAIR, "a.b": ONES, "more": ONES}, loss="mse_loss", input=[1.0]))
    assert set(pointers(problem)) >= {"/a.b", "/more", "/input"}


def test_elements_and_bytes_are_bounded(small: InProcess) -> None:
    many = np.ones(40, np.float32)
    problem = refusal(small, 413, pack({"input": many, "target": many}, loss="mse_loss"))
    assert "100" in problem["detail"]
    large = np.ones(300, np.float32)
    problem = refusal(small, 413, pack({"input": large, "target": large}, loss="mse_loss"))
    assert "2000 bytes" in problem["detail"]
    few = np.ones(30, np.float32)
    assert ask(small, {"input": few, "target": few}, loss="mse_loss")[0]["loss"] == 0


@pytest.mark.parametrize("elements", [1 << 18, 1 << 20])
def test_a_request_large_enough_for_a_thread_is_answered(client: InProcess, elements: int) -> None:
    rng = np.random.default_rng(2)
    arrays = {name: rng.normal(size=elements).astype(np.float32) for name in ("input", "target")}
    tensors, _ = ask(client, arrays, loss="mse_loss", reduction="sum")
    difference: Array = arrays["input"] - arrays["target"]
    assert np.array_equal(tensors["gradients.input"], 2 * difference)
