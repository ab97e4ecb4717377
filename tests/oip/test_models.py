"""What the Open Inference Protocol tells of the server and of its models."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest

from schemas.losses import ALIASES, LOSSES
from service.engine import DirectEngine
from service.settings import Settings
from tests.asgi import InProcess, pointers, problem_of
from tests.oip.speaking import answer_of, infer, of_json, post

TENSORS = [of_json("input", np.ones(2, np.float32)), of_json("target", np.zeros(2, np.float32))]


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_tells_what_it_is(client: InProcess, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    found = response.json()
    assert (found["name"], found["version"]) == ("gradwire", version("gradwire"))
    assert {"binary_tensor_data", "model_configuration", "statistics"} <= set(found["extensions"])


def test_the_server_is_live_and_ready(client: InProcess) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}


def test_a_server_that_cannot_compute_is_live_but_not_ready() -> None:
    engine = DirectEngine("cpu")
    with InProcess(Settings(device="cpu", access_log=False, log_level="error"), engine) as stopped:
        stopped.run(engine.stop())
        assert stopped.get("/v2/health/live").json() == {"live": True}
        for path in ("/v2/health/ready", "/v2/models/mse_loss/ready"):
            response = stopped.get(path)
            problem = problem_of(response, 503)
            assert problem["error"] == problem["detail"]
            assert response.headers["retry-after"]
        problem_of(post(stopped, "mse_loss", {"inputs": TENSORS}), 503)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_a_model(client: InProcess, name: str) -> None:
    found = client.get(f"/v2/models/{name}").json()
    assert (found["name"], found["versions"], found["platform"]) == (name, ["1"], "gradwire")
    inputs = {one["name"]: one for one in found["inputs"]}
    catalogue = {one["name"]: one for one in client.get(f"/v1/losses/{name}").json()["tensors"]}
    assert set(inputs) - {"tail.0.projection", "tail.0.output"} == {*catalogue, "cotangent", "cotangents"}
    for tensor, entry in catalogue.items():
        assert inputs[tensor]["datatype"] == {"floating": "FP32", "mask": "BOOL"}.get(entry["kind"], "INT64")
        assert inputs[tensor]["parameters"] == {
            "dims": entry["dims"] if entry["dims"] != "see the description" else "see the catalogue",
            "optional": not entry["required"],
        }
        assert inputs[tensor]["shape"]
        assert set(inputs[tensor]["shape"]) == {-1}
    outputs = [one["name"] for one in found["outputs"]]
    assert outputs[0] == "loss"
    assert {f"gradients.{one}" for one in client.get(f"/v1/losses/{name}").json()["gradients"]} <= set(outputs)
    assert client.get(f"/v2/models/{name}/ready").json() == {"name": name, "ready": True}


def test_the_shapes_of_a_model_are_those_of_its_usual_form(client: InProcess) -> None:
    found = client.get("/v2/models/cross_entropy").json()
    assert {one["name"]: one["shape"] for one in found["inputs"]} == {
        "input": [-1, -1],
        "target": [-1],
        "weight": [-1],
        "cotangent": [],
        "cotangents": [-1],
    }
    assert {one["name"]: one["shape"] for one in found["outputs"]} == {
        "loss": [],
        "gradients.input": [-1, -1],
        "gradients.target": [-1],
        "gradients.weight": [-1],
    }


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_a_configuration(client: InProcess, name: str) -> None:
    found = client.get(f"/v2/models/{name}/config").json()
    told = client.get(f"/v2/models/{name}").json()
    assert (found["name"], found["max_batch_size"], found["backend"]) == (name, 0, "gradwire")
    assert found["version_policy"] == {"latest": {"num_versions": 1}}
    for kind, plural in (("input", "inputs"), ("output", "outputs")):
        expected = [(one["name"], f"TYPE_{one['datatype']}", one["shape"]) for one in told[plural]]
        assert [(one["name"], one["data_type"], one["dims"]) for one in found[kind]] == expected
    default = LOSSES[name].model_fields["reduction"].default
    assert json.loads(found["parameters"]["reduction"]["string_value"]) == default


@pytest.mark.parametrize("form", ["", "/ready", "/config", "/stats"])
def test_aliases_and_the_version_resolve(client: InProcess, form: str) -> None:
    plain = client.get(f"/v2/models/huber_loss{form}").json()
    for path in ("HuberLoss", "huber_loss/versions/1", "HuberLoss/versions/1"):
        assert client.get(f"/v2/models/{path}{form}").json() == plain
    assert ALIASES["HuberLoss"] == "huber_loss"


@pytest.mark.parametrize("form", ["", "/ready", "/config", "/stats"])
@pytest.mark.parametrize("path", ["nope", "Cross_Entropy", "huber_loss/versions/2", "huber_loss/versions/01"])
def test_another_model_or_version_is_not_found(client: InProcess, path: str, form: str) -> None:
    problem = problem_of(client.get(f"/v2/models/{path}{form}"), 404)
    assert problem["error"] == problem["detail"]


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/models/mse_loss", "/v2/models/mse_loss/stats"])
def test_what_is_read_is_not_written(client: InProcess, path: str) -> None:
    response = client.request("POST", path)
    problem_of(response, 405)
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": true}', b'{"ready": false}'])
def test_the_index_lists_every_loss(client: InProcess, body: bytes) -> None:
    response = client.request("POST", "/v2/repository/index", content=body)
    assert response.status_code == 200
    assert response.json() == [{"name": name, "version": "1", "state": "READY", "reason": ""} for name in LOSSES]


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 400), (b'{"ready": 1}', 422), (b'{"redy": true}', 422)]
)
def test_an_index_is_asked_for_as_the_protocol_says(client: InProcess, body: bytes, status: int) -> None:
    problem = problem_of(client.request("POST", "/v2/repository/index", content=body), status)
    assert problem["error"]
    if status == 422:
        assert len(pointers(problem)) == 1


def test_an_index_has_the_bounds_of_any_body(small: InProcess) -> None:
    problem_of(small.request("POST", "/v2/repository/index", content=b" " * 3000), 413)
    problem_of(
        small.request("POST", "/v2/repository/index", content=b"{}", headers={"content-type": "text/plain"}), 415
    )


@pytest.mark.parametrize(("size", "status"), [(4096, 200), (4097, 413)])
def test_a_request_for_the_index_is_short(client: InProcess, size: int, status: int) -> None:
    response = client.request("POST", "/v2/repository/index", content=b"{}".ljust(size))
    assert response.status_code == status
    if status == 413:
        assert "4096 bytes" in problem_of(response, 413)["error"]


# Statistics.


@pytest.fixture
def fresh() -> Any:
    """A server that has answered nothing yet."""
    with InProcess() as made:
        yield made


def statistics(client: InProcess, loss: str) -> dict[str, Any]:
    (found,) = client.get(f"/v2/models/{loss}/stats").json()["model_stats"]
    return dict(found)


def test_statistics_count_what_was_asked_for_by_any_path(fresh: InProcess) -> None:
    assert statistics(fresh, "mse_loss")["last_inference"] == 0
    infer(fresh, "mse_loss", {"inputs": TENSORS})
    fresh.answer("mse_loss", input=[1.0], target=[0.0])
    fresh.answer(None, "/v1/losses/MSELoss", input=[1.0], target=[0.0])
    post(fresh, "mse_loss", {"inputs": []})
    fresh.get("/v2/models/mse_loss")
    found = statistics(fresh, "mse_loss")
    steps = found["inference_stats"]
    assert (found["name"], found["version"]) == ("mse_loss", "1")
    assert found["inference_count"] == found["execution_count"] == 3
    assert found["last_inference"] > 1_700_000_000_000
    assert (steps["success"]["count"], steps["fail"]["count"]) == (3, 1)
    for step in ("queue", "compute_input", "compute_infer", "compute_output"):
        assert steps[step]["count"] == 3
        assert 0 < steps[step]["ns"] <= steps["success"]["ns"]
    assert steps["fail"]["ns"] > 0
    assert steps["cache_hit"] == {"count": 0, "ns": 0}
    assert statistics(fresh, "l1_loss")["inference_count"] == 0


def test_requests_that_are_computed_together_are_one_execution(fresh: InProcess) -> None:
    async def together() -> None:
        body = {"loss": "mse_loss", "input": [1.0], "target": [0.0]}
        await asyncio.gather(*[fresh.http.post("/v1/loss", json=body) for _ in range(8)])

    fresh.run(together())
    found = statistics(fresh, "mse_loss")
    assert found["inference_count"] == 8
    assert 1 <= found["execution_count"] <= 8


def test_statistics_of_all_losses_come_in_one_answer(client: InProcess) -> None:
    found = client.get("/v2/models/stats").json()["model_stats"]
    assert [one["name"] for one in found] == list(LOSSES)


def test_documents_are_never_compressed(client: InProcess) -> None:
    """On asyncio, tritonclient offers codings that it does not read here."""
    for path in ("/v2/models/stats", "/v2/models/nope", "/v2/models/adaptive_log_softmax_with_loss"):
        response = client.get(path, headers={"accept-encoding": "gzip, deflate, br"})
        assert "content-encoding" not in response.headers


@pytest.mark.parametrize(
    ("offered", "coding"),
    [("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate, br, zstd", "gzip"), ("zstd", None), ("br", None)],
)
@pytest.mark.parametrize("binary", [False, True])
def test_answers_are_compressed_as_tritonclient_reads_them(
    client: InProcess, offered: str, coding: str | None, binary: bool
) -> None:
    ones = np.ones((100, 100), np.float32)
    inputs = [of_json("input", ones), of_json("target", ones)]
    asked = {"inputs": inputs, "parameters": {"reduction": "none", "binary_data_output": binary}}
    response = post(client, "mse_loss", asked, accept_encoding=offered)
    assert response.headers.get("content-encoding") == coding
    assert not answer_of(response).outputs["loss"].any()
