"""`POST /v1/loss/batch` in JSON: order, ids, problems in their places, and whole calls that are refused."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import DataObject

from schemas.losses import LOSSES
from service.engine import BatchingEngine
from service.settings import Settings
from tests.asgi import InProcess, pointers, problem_of
from tests.engine.driving import batch_sizes
from tests.http.batch_calls import PATH, Request, alone, call, in_json, results
from tests.losses.cases import alike, mix

DRAWN = settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
SOUND: Request = {"loss": "mse_loss", "input": [3.0], "target": [1.0]}


def tiny(count: int) -> list[Request]:
    """Cross entropies of one row and ten classes."""
    rng = np.random.default_rng(1)
    return [
        {"loss": "cross_entropy", "input": rng.standard_normal((1, 10)).tolist(), "target": [int(at % 10)]}
        for at in range(count)
    ]


def without_place(problem: Request) -> Request:
    """A problem, but for the place that it names."""
    assert problem["instance"]
    return {name: value for name, value in problem.items() if name != "instance"}


@pytest.mark.parametrize("name", LOSSES)
@DRAWN
@given(data=st.data())
def test_answers_are_to_the_byte_those_of_single_calls(client: InProcess, name: str, data: DataObject) -> None:
    requests = data.draw(mix(name, 8)) + data.draw(alike(name, 6)) * 2
    body = orjson.dumps({"requests": in_json(requests)})
    singles = [client.post(orjson.dumps(in_json(request))).content for request in requests]
    assert client.post(body, PATH).content == b'{"results":[' + b",".join(singles) + b"]}"


@pytest.mark.parametrize("encoding", ["list", "base64"])
@pytest.mark.parametrize("name", LOSSES)
def test_every_example_is_answered_as_alone(client: InProcess, name: str, encoding: str) -> None:
    request = {"loss": name, **LOSSES[name].about.example, "encoding": encoding}
    assert results(client, [request] * 5) == [alone(client, request)] * 5


def test_losses_may_be_mixed_and_come_back_in_order(client: InProcess) -> None:
    rng = np.random.default_rng(3)
    requests = [{"loss": name, **LOSSES[name].about.example} for name in LOSSES for _ in range(6)]
    rng.shuffle(requests)
    assert results(client, requests) == [alone(client, request) for request in requests]


def test_large_bodies_are_answered_as_alone(client: InProcess) -> None:
    rng = np.random.default_rng(4)
    requests = [
        {"loss": "cross_entropy", "input": rng.standard_normal((rows, 1000)).tolist(), "target": [5] * rows}
        for rows in (32, 32, 16, 32, 32)
    ]
    assert results(client, requests) == [alone(client, request) for request in requests]
    requests[2]["target"][3] = 1000
    found = results(client, requests)
    assert without_place(found[2]) == without_place(alone(client, requests[2]))
    assert found[3] == alone(client, requests[3])


def test_what_is_no_number_comes_back_as_a_string(client: InProcess) -> None:
    requests = [{"loss": "l1_loss", "input": [x, 1.0], "target": [0, 0], "reduction": "none"} for x in (1.5, "NaN", 2)]
    assert [found["loss"] for found in results(client, requests * 3)] == [[1.5, 1.0], ["NaN", 1.0], [2.0, 1.0]] * 3
    huge = [{**SOUND, "input": [1e30]}] * 5
    assert [found["loss"] for found in results(client, huge)] == ["Infinity"] * 5


# Ids.


def test_ids_come_back_with_answers_and_problems(client: InProcess) -> None:
    ids: list[Any] = ["a", 7, 0, -(2**63), 2**63 - 1, 'é"\\\n', "x" * 128, "7"]
    requests = [{**SOUND, "id": one} for one in ids] + [{"loss": "no", "id": "bad"}, SOUND]
    found = results(client, requests)
    assert [one["id"] for one in found[:-1]] == [*ids, "bad"]
    assert "id" not in found[-1]
    assert {name: value for name, value in found[0].items() if name != "id"} == alone(client, SOUND)


def test_like_losses_with_ids_keep_theirs(client: InProcess) -> None:
    requests = [{**request, "id": at} for at, request in enumerate(tiny(20))]
    found = results(client, requests)
    assert [one["id"] for one in found] == list(range(20))
    assert [one["loss"] for one in found] == [alone(client, request)["loss"] for request in tiny(20)]


@pytest.mark.parametrize("bad", ["", "x" * 129, 1.5, True, None, [], {}, 2**63, -(2**63) - 1])
def test_an_id_that_is_none_is_a_fault_among_others(client: InProcess, bad: Any) -> None:
    found = results(client, [SOUND, {**SOUND, "id": bad, "target": None}])
    assert found[1]["status"] == 422
    assert set(pointers(found[1])) == {"/id", "/target"}
    assert "id" not in found[1]
    assert found[0] == alone(client, SOUND)


def test_a_single_call_has_no_id(client: InProcess) -> None:
    assert "/id" in client.faults(**SOUND, id="a")


# Problems in their places.

FAULTS: list[Any] = [
    {"target": [7]},
    {"target": [0.5]},
    {"target": [[0]]},
    {"target": [True]},
    {"target": None},
    {"target": "NaN"},
    {"input": [[1.0], [2.0, 3.0]]},
    {"input": [["x", 1.0]]},
    {"input": [[0.5] * 3] * 3},
    {"input": {"dtype": "float8", "shape": [1], "data": "AA=="}},
    {"input": {"dtype": "float32", "shape": [2**33], "data": ""}},
    {"input": [[[[[[[[[[1.0]]]]]]]]]]},
    {"gradients": ["target", "input", "input"]},
    {"reduction": "avg", "on_empty": 3},
    {"label_smoothing": 2.0},
    {"ignore_index": 2**64},
    {"cotangent": [1.0]},
    {"cotangents": 1.0},
    {"cotangents": [1.0, 2.0]},
    {"cotangents": []},
    {"lable_smoothing": 0.5, "wieght": [1.0]},
    {"loss": "cross_entorpy"},
    {"loss": 3},
    {"loss": None},
    {"weight": [1.0]},
]
BASE: Request = {"loss": "cross_entropy", "input": [[0.5, 1.5]], "target": [1]}


@settings(DRAWN, max_examples=60)
@given(
    changes=st.lists(st.one_of(st.just({}), st.sampled_from(FAULTS)), min_size=1, max_size=20), copies=st.integers(1, 4)
)
def test_problems_are_those_of_single_calls(client: InProcess, changes: list[Request], copies: int) -> None:
    requests = [{**BASE, **change} for change in changes] * copies
    found = results(client, requests)
    for at, (request, answered) in enumerate(zip(requests, found, strict=True)):
        expected = alone(client, request)
        if "status" in expected:
            assert answered["instance"] == f"{PATH}#/requests/{at}"
            assert without_place(answered) == without_place(expected)
        else:
            assert answered == expected


@pytest.mark.parametrize("loss", LOSSES)
def test_a_bad_neighbour_harms_no_other(client: InProcess, loss: str) -> None:
    example = {"loss": loss, **LOSSES[loss].about.example}
    spoiled = {**example, "gradients": ["nothing"]}
    requests = [example, spoiled, example, example, spoiled, example, example, example]
    found = results(client, requests)
    expected = alone(client, example)
    assert [one for one in found if "status" not in one] == [expected] * 6
    assert [at for at, one in enumerate(found) if one.get("status") == 422] == [1, 4]


@pytest.mark.parametrize("item", [3, "x", None, True, [], [SOUND]])
def test_what_is_no_request_is_a_problem_in_its_place(client: InProcess, item: Any) -> None:
    found = results(client, [SOUND, item, SOUND])
    assert (found[1]["status"], found[1]["detail"]) == (400, "the request is no JSON object")
    assert [found[0], found[2]] == [alone(client, SOUND)] * 2


def test_a_request_that_is_nested_too_deep_is_malformed_in_its_place(client: InProcess) -> None:
    deep: Any = 1.0
    for _ in range(40):
        deep = [deep]
    found = results(client, [SOUND, {**SOUND, "input": deep}])
    assert found[1]["status"] == 400
    assert without_place(found[1]) == without_place(alone(client, {**SOUND, "input": deep}))


def test_a_request_without_a_loss_is_told_so(client: InProcess) -> None:
    assert pointers(results(client, [{}])[0]) == {"/loss": "required: the loss's name"}


# Whole calls.


def test_an_empty_list_has_empty_results(client: InProcess) -> None:
    assert call(client, []).content == b'{"results":[]}'


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"{}", {"/requests"}),
        (b'{"requests": {}}', {"/requests"}),
        (b'{"requests": null}', {"/requests"}),
        (b'{"requests": 3, "more": 1, "id": 2}', {"/requests", "/more", "/id"}),
        (b'{"requests": [], "more": 1}', {"/more"}),
        (b'{"loss": "mse_loss", "input": [1.0], "target": [1.0]}', {"/requests", "/loss", "/input", "/target"}),
    ],
)
def test_what_is_no_call_is_refused(client: InProcess, body: bytes, where: set[str]) -> None:
    assert set(pointers(problem_of(client.post(body, PATH), 422))) == where


@pytest.mark.parametrize("body", [b"", b"[", b"[]", b"3", b'{"requests": [NaN]}', b'{"requests": [}', b"\xff"])
def test_what_is_no_json_object_is_malformed(client: InProcess, body: bytes) -> None:
    problem_of(client.post(body, PATH), 400)


def test_a_call_takes_as_many_losses_as_the_limit_says(client: InProcess) -> None:
    most = client.get("/v1/limits").json()["batch_losses"]
    assert most == 1024
    assert len(results(client, [SOUND] * most)) == most
    problem = problem_of(call(client, [SOUND] * (most + 1)), 413)
    assert problem["detail"] == "the call asks for 1025 losses; the limit is 1024"


def test_members_are_bounded_for_the_whole_call(client: InProcess) -> None:
    many = {f"m{at}": 0 for at in range(1000)}
    problem = problem_of(call(client, [many] * 66), 413)
    assert "66000 members" in problem["detail"]


def test_elements_are_bounded_for_the_whole_call_and_told_in_place(small: InProcess) -> None:
    request = {"loss": "mse_loss", "input": [0.5] * 10, "target": [1.0] * 10}  # 30 elements
    found = results(small, [request, request, {**request, "input": [0.5] * 40}, request, request, SOUND, SOUND])
    assert [one.get("status") for one in found] == [None, None, 422, None, 413, None, None]
    assert "30 elements" in found[4]["detail"]
    assert "limit for all together is 100" in found[4]["detail"]


def test_elements_of_like_losses_are_bounded_in_order(small: InProcess) -> None:
    request = {"loss": "mse_loss", "input": [0.5] * 5, "target": [1.0] * 5}  # 15 elements
    found = results(small, [request] * 8)
    assert [one.get("status") for one in found] == [None] * 6 + [413] * 2
    assert found[0] == found[5] == alone(small, request)


def test_a_request_over_the_limit_is_so_in_its_place(small: InProcess) -> None:
    large = {"loss": "mse_loss", "input": [0.5] * 40, "target": [1.0] * 40}
    found = results(small, [SOUND, large, SOUND])
    assert without_place(found[1]) == without_place(alone(small, large))
    assert found[0] == found[2] == alone(small, SOUND)


def test_rows_without_elements_count(client: InProcess) -> None:
    nothing = {"dtype": "float32", "shape": [65536, 0], "data": ""}
    found = results(client, [{"loss": "mse_loss", "input": nothing, "target": nothing, "reduction": "sum"}] * 200)
    assert [one.get("status") for one in found] == [None] * 128 + [413] * 72


# The rest of HTTP.


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_other_methods_are_not_allowed(client: InProcess, method: str) -> None:
    response = client.request(method, PATH)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


def test_accept_and_content_type_are_held_to(client: InProcess) -> None:
    body = json.dumps({"requests": [SOUND]}).encode()
    problem_of(client.post(body, PATH, accept="text/html"), 406)
    problem_of(client.post(body, PATH, content_type="text/plain"), 415)


def test_an_answer_tells_its_steps_and_its_request(client: InProcess) -> None:
    response = call(client, [SOUND, *tiny(6)], x_request_id="abc")
    assert response.headers["x-request-id"] == "abc"
    steps = [step.split(";")[0].strip() for step in response.headers["server-timing"].split(",")]
    assert steps == ["decode", "queue", "compute", "encode"]


@pytest.mark.parametrize("inline", [0, 1 << 16])
@pytest.mark.parametrize("offload", [0, 1 << 20])
def test_answers_are_the_same_wherever_they_are_computed(client: InProcess, inline: int, offload: int) -> None:
    requests = [*tiny(40), SOUND, {"loss": "bad"}]
    quiet = Settings(device="cpu", access_log=False, log_level="error", inline_elements=inline, offload_bytes=offload)
    for engine in ("batching", "direct"):
        with InProcess(quiet.model_copy(update={"engine": engine})) as other:
            assert call(other, requests).content == call(client, requests).content


def test_like_losses_of_a_call_are_one_batch() -> None:
    engine = BatchingEngine("cpu")
    with InProcess(Settings(device="cpu", access_log=False, log_level="error"), engine) as made, batch_sizes() as sizes:
        assert len(results(made, tiny(256))) == 256
    assert sizes == [1]


def test_the_example_is_answered_as_the_document_says(client: InProcess) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    found = client.post(json.dumps(schemas["BatchRequest"]["example"]).encode(), PATH).json()["results"]
    expected = schemas["BatchAnswer"]["example"]["results"]
    # The last bits are the processor's own.
    for one, other in zip(found[:2], expected[:2], strict=True):
        assert one.pop("loss") == pytest.approx(other.pop("loss"), rel=1e-5)
        assert np.allclose(one.pop("gradients")["input"], other.pop("gradients")["input"], rtol=1e-5)
    assert found == expected
    assert "application/vnd.safetensors" in document["paths"][PATH]["post"]["requestBody"]["content"]
