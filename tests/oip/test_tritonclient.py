"""Triton's own client against a real server: what it asks, it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from schemas.losses import LOSSES
from tests.serving import RunningServer

LOGITS = np.random.default_rng(2).standard_normal((16, 10)).astype(np.float32)
TARGET = np.random.default_rng(3).integers(0, 10, 16)


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Any]:
    """The synchronous client."""
    with triton.InferenceServerClient(f"{server.host}:{server.port}", concurrency=4) as made:
        yield made


@pytest.fixture(scope="module")
def known(client: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The loss of LOGITS and TARGET and its gradient, worked out here."""
    shifted = LOGITS.astype(np.float64) - LOGITS.max(1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    rows = np.arange(len(TARGET))
    loss = -np.log(probabilities[rows, TARGET]).mean()
    probabilities[rows, TARGET] -= 1
    return {"loss": np.array(loss), "gradients.input": probabilities / len(TARGET)}


def given(name: str, array: Any, *, binary: bool = True, datatype: str = "") -> Any:
    """An input."""
    names = {"float32": "FP32", "float64": "FP64", "float16": "FP16", "int64": "INT64", "bool": "BOOL"}
    made = triton.InferInput(name, list(array.shape), datatype or names[array.dtype.name])
    return made.set_data_from_numpy(array, binary_data=binary)


def inputs(*, binary: bool = True) -> list[Any]:
    return [given("input", LOGITS, binary=binary), given("target", TARGET, binary=binary)]


def assert_right(result: Any, known: dict[str, Any], *names: str) -> None:
    """The outputs of these names, and no others."""
    assert [one["name"] for one in result.get_response()["outputs"]] == list(names)
    for name in names:
        found = result.as_numpy(name)
        assert found.dtype == np.float32
        assert found.shape == known[name].shape
        np.testing.assert_allclose(found, known[name], rtol=1e-5, atol=1e-6)


ALL = ("loss", "gradients.input")


def test_the_server_is_live_ready_and_told_of(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["name"] == "gradwire"


@pytest.mark.parametrize("version", ["", "1"])
def test_a_model_is_ready_and_told_of(client: Any, version: str) -> None:
    assert client.is_model_ready("cross_entropy", version)
    assert client.get_model_metadata("CrossEntropyLoss", version)["name"] == "cross_entropy"
    assert client.get_model_config("cross_entropy", version)["max_batch_size"] == 0
    found = client.get_inference_statistics("cross_entropy", version)["model_stats"]
    assert [one["name"] for one in found] == ["cross_entropy"]
    assert not client.is_model_ready("nope", version)
    assert not client.is_model_ready("cross_entropy", "2")


def test_all_models_are_told_of(client: Any) -> None:
    assert [one["name"] for one in client.get_model_repository_index()] == list(LOSSES)
    assert len(client.get_inference_statistics()["model_stats"]) == len(LOSSES)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("version", ["", "1"])
def test_an_inference_answers_all_outputs(client: Any, known: dict[str, Any], binary: bool, version: str) -> None:
    result = client.infer("cross_entropy", inputs(binary=binary), version)
    assert_right(result, known, *ALL)
    assert all("binary_data_size" in one["parameters"] for one in result.get_response()["outputs"])


@pytest.mark.parametrize("binary", [True, False])
def test_an_inference_answers_the_outputs_that_are_asked_for(client: Any, known: dict[str, Any], binary: bool) -> None:
    for names in (["loss"], ["gradients.input"], ["gradients.input", "loss"]):
        outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
        result = client.infer("cross_entropy", inputs(), outputs=outputs)
        assert_right(result, known, *names)
        assert all(("data" in one) != binary for one in result.get_response()["outputs"])


def test_an_inference_may_bear_all_that_the_client_knows(client: Any, known: dict[str, Any]) -> None:
    result = client.infer(
        "cross_entropy",
        inputs(),
        request_id="mine",
        sequence_id=7,
        sequence_start=True,
        sequence_end=True,
        priority=2,
        timeout=30_000_000,
        headers={"X-Request-ID": "a-trace"},
        query_params={"any": "thing"},
        parameters={"reduction": "sum", "label_smoothing": 0.0},
    )
    response = result.get_response()
    assert (response["id"], response["parameters"]["reduction"]) == ("mine", "sum")
    assert result.as_numpy("loss") == pytest.approx(known["loss"] * 16, rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
@pytest.mark.parametrize("binary", [True, False])
def test_other_floating_types_come_back_as_they_went(client: Any, dtype: Any, binary: bool) -> None:
    one = given("input", np.array([1.5, 3.0], dtype), binary=binary)
    target = given("target", np.zeros(2, np.float16), binary=binary)
    found = client.infer("mse_loss", [one, target], parameters={"reduction": "none"}).as_numpy("loss")
    assert found.dtype == dtype
    assert found.tolist() == [2.25, 9.0]


def test_bfloat16_comes_back_as_it_went(client: Any) -> None:
    values = np.array([1.5, 3.0], ml_dtypes.bfloat16)
    tensors = [given("input", values, datatype="BF16"), given("target", np.zeros_like(values), datatype="BF16")]
    for binary in (True, False):
        outputs = [triton.InferRequestedOutput("gradients.input", binary_data=binary)]
        result = client.infer("mse_loss", tensors, outputs=outputs, parameters={"reduction": "none"})
        assert result.get_output("gradients.input")["datatype"] == "BF16"
        assert result.as_numpy("gradients.input").tolist() == [3.0, 6.0]


def test_tensors_without_elements_and_0d_ones_come_back_in_their_shapes(client: Any) -> None:
    nothing = np.zeros((0, 3), np.float32)
    result = client.infer("mse_loss", [given("input", nothing), given("target", nothing)])
    assert np.isnan(result.as_numpy("loss"))
    assert result.as_numpy("gradients.input").shape == (0, 3)
    number = np.array(3.0, np.float32)
    result = client.infer("mse_loss", [given("input", number), given("target", np.zeros((), np.float32))])
    assert result.as_numpy("gradients.input").shape == ()
    assert result.as_numpy("gradients.input") == 6.0


def test_large_tensors_come_back_whole(client: Any) -> None:
    values = np.random.default_rng(4).standard_normal((300, 1000)).astype(np.float32)
    result = client.infer(
        "mse_loss", [given("input", values), given("target", values * 0)], parameters={"reduction": "sum"}
    )
    assert np.array_equal(result.as_numpy("gradients.input"), 2 * values)


def test_an_error_is_the_clients_exception_with_the_reason(client: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"class index 10 is outside \[0, 10\)") as raised:
        client.infer("cross_entropy", [given("input", LOGITS), given("target", TARGET * 0 + 10)])
    assert raised.value.status() == "422"
    with pytest.raises(InferenceServerException, match="there is no loss 'nope'"):
        client.infer("nope", inputs())
    with pytest.raises(InferenceServerException, match="no version '9'"):
        client.get_model_metadata("mse_loss", "9")
    with pytest.raises(InferenceServerException, match="there is nothing at"):
        client.load_model("mse_loss")
    classified = [triton.InferRequestedOutput("loss", class_count=2)]
    with pytest.raises(InferenceServerException, match="classification is not served"):
        client.infer("cross_entropy", inputs(), outputs=classified)


def test_inferences_may_be_in_flight_together(client: Any, known: dict[str, Any]) -> None:
    asked = [client.async_infer("cross_entropy", inputs(), request_id=f"r{at}") for at in range(12)]
    for at, one in enumerate(asked):
        result = one.get_result()
        assert result.get_response()["id"] == f"r{at}"
        assert_right(result, known, *ALL)
    failing = client.async_infer("cross_entropy", inputs()[:1])
    with pytest.raises(InferenceServerException, match="target: required, but missing"):
        failing.get_result()


def test_a_body_may_be_made_and_read_without_the_client(client: Any, known: dict[str, Any]) -> None:
    body, size = triton.InferenceServerClient.generate_request_body(inputs())
    response = client._post("v2/models/cross_entropy/infer", body, {"Inference-Header-Content-Length": size}, None)
    length = int(response.get("Inference-Header-Content-Length"))
    result = triton.InferenceServerClient.parse_response_body(bytes(response.read()), header_length=length)
    assert_right(result, known, *ALL)


def test_the_asyncio_client_is_served_alike(server: RunningServer, known: dict[str, Any]) -> None:
    async def main() -> None:
        async with triton_aio.InferenceServerClient(f"{server.host}:{server.port}") as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("mse_loss")
            assert (await client.get_server_metadata())["name"] == "gradwire"
            assert (await client.get_model_metadata("cross_entropy", "1"))["platform"] == "gradwire"
            assert (await client.get_model_config("cross_entropy"))["name"] == "cross_entropy"
            assert len(await client.get_model_repository_index()) == len(LOSSES)
            assert len((await client.get_inference_statistics())["model_stats"]) == len(LOSSES)
            for binary in (True, False):
                found = await asyncio.gather(
                    *[client.infer("cross_entropy", inputs(binary=binary), request_id=str(at)) for at in range(8)]
                )
                for at, result in enumerate(found):
                    assert result.get_response()["id"] == str(at)
                    assert_right(result, known, *ALL)
            with pytest.raises(InferenceServerException, match="required, but missing") as raised:
                await client.infer("cross_entropy", inputs()[:1], timeout=1_000_000)
            assert raised.value.status() == "422"

    asyncio.run(main())


# Bodies that are compressed, either way, by both clients.


@pytest.mark.parametrize("asked", ["gzip", "deflate", None])
@pytest.mark.parametrize("answered", ["gzip", "deflate", None])
@pytest.mark.parametrize("binary", [True, False])
def test_bodies_may_be_compressed_both_ways(
    server: RunningServer, client: Any, known: dict[str, Any], asked: str | None, answered: str | None, binary: bool
) -> None:
    codings = {"request_compression_algorithm": asked, "response_compression_algorithm": answered}
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ALL]
    assert_right(client.infer("cross_entropy", inputs(binary=binary), outputs=outputs, **codings), known, *ALL)
    one = client.async_infer("cross_entropy", inputs(binary=binary), outputs=outputs, **codings)
    assert_right(one.get_result(), known, *ALL)
    # An error is never compressed: neither client would unpack it.
    with pytest.raises(InferenceServerException, match="target: required, but missing"):
        client.infer("cross_entropy", inputs(binary=binary)[:1], **codings)

    async def main() -> None:
        async with triton_aio.InferenceServerClient(f"{server.host}:{server.port}") as other:
            result = await other.infer("cross_entropy", inputs(binary=binary), outputs=outputs, **codings)
            assert_right(result, known, *ALL)
            with pytest.raises(InferenceServerException, match="target: required, but missing"):
                await other.infer("cross_entropy", inputs(binary=binary)[:1], **codings)

    asyncio.run(main())
