from __future__ import annotations

import json
from typing import Any

import pytest

from tests.asgi import pointers, problem_of
from tests.evaluations.http.conftest import PATH, Evaluations

BATCH = {"input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], "target": [0, 2]}


def test_a_new_run_is_answered_as_it_will_be_read(evaluations: Evaluations) -> None:
    members = {"loss": "CrossEntropyLoss", "name": "mine", "classes": 3, "metrics": ["accuracy"], "tags": {"a": "b"}}
    made = evaluations.request("POST", PATH, json=members)
    assert made.status_code == 201
    run = made.json()
    assert made.headers["location"] == f"{PATH}/{run['id']}"
    assert (run["loss"], run["classes"], run["state"], run["dtype"]) == (
        "cross_entropy",
        ["0", "1", "2"],
        "open",
        "float64",
    )
    read = evaluations.request("GET", f"{PATH}/{run['id']}").json()
    assert read.pop("total") == {
        "samples": 0,
        "batches": 0,
        "count": 0,
        "ignored": 0,
        "divisor": 0.0,
        "loss": "NaN",
        "standard_error": None,
        "interval": None,
    }
    assert read == run


def test_the_same_idempotency_key_answers_the_same_run(evaluations: Evaluations) -> None:
    headers = {"idempotency-key": "one-of-a-kind"}
    first = evaluations.request("POST", PATH, json={"loss": "mse_loss"}, headers=headers)
    again = evaluations.request("POST", PATH, json={"loss": "mse_loss"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    other = evaluations.request("POST", PATH, json={"loss": "l1_loss"}, headers=headers)
    assert "Idempotency-Key" in problem_of(other, 422)["detail"]


@pytest.mark.parametrize("key", ["", "two words", "k" * 129, "é"])
def test_an_idempotency_key_is_visible_ascii(evaluations: Evaluations, key: str) -> None:
    answer = evaluations.request("POST", PATH, json={"loss": "mse_loss"}, headers={"idempotency-key": key.encode()})
    problem_of(answer, 400)


@pytest.mark.parametrize(
    ("members", "pointer", "told"),
    [
        ({}, "/loss", "required"),
        ({"loss": "nope"}, "/loss", "no loss 'nope'"),
        ({"loss": "composite"}, "/loss", "each of its terms"),
        ({"loss": "mse_loss", "no": 1}, "/no", "unknown member"),
        ({"loss": "mse_loss", "reduction": "none"}, "/reduction", "'mean' or 'sum'"),
        ({"loss": "huber_loss", "options": {"delta": -1}}, "/options/delta", "greater than 0"),
        ({"loss": "huber_loss", "options": {"detla": 1}}, "/options/detla", "did you mean delta"),
        ({"loss": "cross_entropy", "options": {"weight": [[1], [2, 3]]}}, "/options/weight/1", ""),
        ({"loss": "mse_loss", "options": {"gradients": []}}, "/options/gradients", "no option of a run"),
        ({"loss": "mse_loss", "metrics": ["accuracy"]}, "/metrics/0", ""),
        ({"loss": "cross_entropy", "metrics": ["f1"]}, "/metrics/0", "classes"),
        ({"loss": "mse_loss", "metrics": ["nonsense"]}, "/metrics/0/name", "'accuracy'"),
        ({"loss": "kl_div", "metrics": ["mae"]}, "/metrics/0", "no predictions"),
        ({"loss": "mse_loss", "hardest": 5000}, "/hardest", "1000"),
        ({"loss": "mse_loss", "classes": 3}, "/classes", "no classes or labels"),
        ({"loss": "dice_loss", "classes": 3}, "/classes", "no classes or labels"),
        ({"loss": "cross_entropy", "classes": 2, "options": {"weight": [1, 2, 3]}}, "/options/weight", "the run has 2"),
        (
            {"loss": "grpo_loss", "options": {"normalization": "dapo", "num_items_in_batch": 64}},
            "/options/num_items_in_batch",
            "once for each batch: leave it out",
        ),
        ({"loss": "expression", "options": {"tensors": [1]}}, "/options/tensors", "an object of tensors"),
        ({"loss": "expression", "options": {"tensors": {"w": "a"}}}, "/options/tensors/w", "no number"),
        ({"loss": "expression", "options": {"tensors": {"1": [1]}}}, "/options/tensors/1", "a name is"),
        ({"loss": "mse_loss", "expected_samples": 2**70}, "/expected_samples", ""),
        ({"loss": "mse_loss", "hardest": "5"}, "/hardest", "valid integer"),
        ({"loss": "mse_loss", "tags": {"a\0": "b"}}, "/tags/a\0/[key]", "NUL"),
        ({"loss": "expression", "options": {"expression": "a\0"}}, "/options/expression", "NUL"),
        ({"loss": "expression", "options": {"constants": {"\0": 1.0}}}, "/options/constants", "NUL"),
    ],
)
def test_what_is_wrong_with_a_new_run_is_told(
    evaluations: Evaluations, members: dict[str, Any], pointer: str, told: str
) -> None:
    problem = problem_of(evaluations.request("POST", PATH, json=members), 422)
    assert told in pointers(problem)[pointer]


def test_a_run_of_more_than_a_mebibyte_is_refused(evaluations: Evaluations) -> None:
    members = {"loss": "mse_loss", "classes": [f"{at:06d}" + "x" * 190 for at in range(10_000)]}
    told = problem_of(evaluations.request("POST", PATH, json=members), 413)
    assert "the limit is 1048576" in told["detail"]


def test_a_run_nested_without_end_is_refused(evaluations: Evaluations) -> None:
    body = b'{"loss": "mse_loss", "options": {"weight": ' + b"[" * 500 + b"]" * 500 + b"}}"
    headers = {"content-type": "application/json"}
    problem_of(evaluations.request("POST", PATH, content=body, headers=headers), 400)


def test_a_large_run_is_read_and_answered_beside_the_event_loop(evaluations: Evaluations) -> None:
    members = {"loss": "mse_loss", "options": {"weight": [0.125] * 130_000}}
    body = json.dumps(members, indent=2).encode()
    assert len(body) > 1 << 20
    headers = {"content-type": "application/json"}
    made = evaluations.request("POST", PATH, content=body, headers=headers)
    assert made.status_code == 201, made.text[:200]
    assert made.json()["options"] == members["options"]


def test_listings_leave_out_what_may_be_long(evaluations: Evaluations) -> None:
    run = evaluations.made(classes=10, groups=["x"], options={"ignore_index": 1}, tags={"kind": "long"})
    (listed,) = evaluations.request("GET", f"{PATH}?tag=kind:long").json()["evaluations"]
    assert evaluations.request("GET", f"{PATH}/{run}").json().keys() - listed.keys() == {
        "options",
        "classes",
        "groups",
        "total",
    }


def test_options_that_need_a_batch_to_be_checked_wait_for_it(evaluations: Evaluations) -> None:
    run = evaluations.made(options={"weight": [1.0, 2.0, 0.5], "label_smoothing": 0.1})
    assert evaluations.added(run, **BATCH)["batch"]["divisor"] == 1.5
    answer = evaluations.send(run, input=[[1.0, 2.0]], target=[0])
    assert "/weight" in pointers(problem_of(answer, 422))


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {"content-type": "application/vnd.safetensors"}, 415),
    ],
)
def test_a_body_that_is_no_json_object_makes_no_run(
    evaluations: Evaluations, body: bytes, headers: dict[str, str], status: int
) -> None:
    told = {"content-type": "application/json", **headers}
    problem_of(evaluations.request("POST", PATH, content=body, headers=told), status)


def test_runs_are_found_by_what_they_are(evaluations: Evaluations) -> None:
    runs = [
        evaluations.made(loss="l1_loss", name=f"found {at}", tags={"kind": "listed", "at": str(at)}) for at in range(5)
    ]

    def listed(query: str) -> list[str]:
        answer = evaluations.request("GET", f"{PATH}?tag=kind:listed{query}")
        assert answer.status_code == 200, answer.text
        return [run["id"] for run in answer.json()["evaluations"]]

    assert listed("") == runs[::-1]
    assert listed("&order=oldest") == runs
    assert listed("&tag=at:3") == [runs[3]]
    assert listed("&name=ound+4") == [runs[4]]
    assert listed("&loss=mse_loss") == []
    evaluations.request("PATCH", f"{PATH}/{runs[1]}", json={"state": "sealed"})
    assert listed("&state=sealed") == [runs[1]]
    assert listed("&created_after=2100-01-01T00:00:00Z") == []
    assert listed("&created_before=2100-01-01T00:00:00Z&limit=2") == runs[:2:-1]


def test_pages_follow_each_other_by_their_cursors(evaluations: Evaluations) -> None:
    runs = [evaluations.made(tags={"kind": "paged"}) for _ in range(5)]
    found: list[str] = []
    cursor = ""
    for size in (2, 2, 1):
        page = evaluations.request("GET", f"{PATH}?tag=kind:paged&limit=2{cursor}").json()
        assert len(page["evaluations"]) == size
        found += [run["id"] for run in page["evaluations"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert found == runs[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "cursor=nonsense",
        "tag=nonsense",
        "limit=0",
        "limit=201",
        "state=open-ish",
        "created_after=yesterday",
        "created_before=0.5",
    ],
)
def test_a_faulty_query_is_told(evaluations: Evaluations, query: str) -> None:
    name = query.partition("=")[0]
    problem = problem_of(evaluations.request("GET", f"{PATH}?{query}"), 422)
    assert any(pointer.startswith(f"/query/{name}") for pointer in pointers(problem)), problem


def test_a_misspelt_parameter_is_told(evaluations: Evaluations) -> None:
    run = evaluations.made()
    for path in (f"{PATH}?limt=2&state=open", *(f"{PATH}/{run}{one}?limt=2" for one in ("", "/batches", "/report"))):
        told = pointers(problem_of(evaluations.request("GET", path), 422))
        assert told == {"/query/limt": "there is no such parameter"}, path


def test_a_run_is_renamed_and_tagged(evaluations: Evaluations) -> None:
    run = evaluations.made(name="old", tags={"a": "1"})
    changed = evaluations.request("PATCH", f"{PATH}/{run}", json={"name": "new", "tags": {"b": "2"}}).json()
    assert (changed["name"], changed["tags"], changed["state"]) == ("new", {"b": "2"}, "open")
    kept = evaluations.request("PATCH", f"{PATH}/{run}", json={"name": ""}).json()
    assert (kept["name"], kept["tags"]) == ("", {"b": "2"})


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"state": "open"}, "/state"),
        ({"name": None}, "/name"),
        ({"loss": "mse_loss"}, "/loss"),
        ({"tags": []}, "/tags"),
    ],
)
def test_a_faulty_change_is_told(evaluations: Evaluations, change: dict[str, Any], pointer: str) -> None:
    run = evaluations.made()
    assert pointer in pointers(problem_of(evaluations.request("PATCH", f"{PATH}/{run}", json=change), 422))


def test_a_sealed_run_takes_no_more_and_answers_what_it_has(evaluations: Evaluations) -> None:
    run = evaluations.made()
    first = evaluations.added(run, batch_id="a", **BATCH)
    sealed = evaluations.request("PATCH", f"{PATH}/{run}", json={"state": "sealed"}).json()
    assert sealed["state"] == "sealed"
    assert sealed["sealed_at"] is not None
    problem_of(evaluations.send(run, batch_id="b", **BATCH), 409)
    again = evaluations.added(run, batch_id="a", **BATCH)  # a retry whose first answer was lost
    assert again["duplicate"]
    assert again["batch"] == first["batch"]
    assert evaluations.results(run)["samples"] == 2


def test_a_deleted_run_is_gone(evaluations: Evaluations) -> None:
    run = evaluations.made()
    evaluations.added(run, **BATCH)
    deleted = evaluations.request("DELETE", f"{PATH}/{run}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method, path in [
        ("GET", ""),
        ("GET", "/report"),
        ("GET", "/batches"),
        ("GET", "/events"),
        ("GET", f"/comparison?with={run}"),
        ("DELETE", ""),
    ]:
        problem_of(evaluations.request(method, f"{PATH}/{run}{path}"), 404)
    problem_of(evaluations.request("PATCH", f"{PATH}/{run}", json={"name": "x"}), 404)
    problem_of(evaluations.send(run, **BATCH), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "", "GET, HEAD, POST"),
        ("POST", "/x", "DELETE, GET, HEAD, PATCH"),
        ("DELETE", "/x/batches", "GET, HEAD, POST"),
    ],
)
def test_other_methods_are_refused(evaluations: Evaluations, method: str, path: str, allowed: str) -> None:
    answer = evaluations.request(method, PATH + path)
    problem_of(answer, 405)
    assert answer.headers["allow"] == allowed
