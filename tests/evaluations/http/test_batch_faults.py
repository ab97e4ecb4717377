"""What is wrong with a batch, or more than there may be, is refused, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import binary
from tests.asgi import pointers, problem_of
from tests.evaluations.http.conftest import MEMBERS, PATH, Evaluations


@pytest.mark.parametrize(
    ("members", "pointer", "told"),
    [
        ({"batch_id": ""}, "/batch_id", "visible ASCII"),
        ({"batch_id": 7}, "/batch_id", "visible ASCII"),
        ({"sample_ids": ["a", "b"]}, "/sample_ids", "2 for 3 samples"),
        ({"sample_ids": ["a", "b", "a"]}, "/sample_ids/2", "there twice"),
        ({"sample_ids": ["a", "", "c"]}, "/sample_ids/1", "1 to 256"),
        ({"sample_ids": ["a", True, "c"]}, "/sample_ids/1", "1 to 256"),
        ({"sample_ids": "abc"}, "/sample_ids", "a list"),
        ({"groups": ["x", "y"]}, "/groups", "2 for 3 samples"),
        ({"groups": ["x", "y", "z"]}, "/groups/2", "no group"),
        ({"groups": [0, 1, 2]}, "/groups/2", "no group"),
        ({"groups": {}}, "/groups", "a list"),
        ({"reduction": "sum"}, "/reduction", "the run sets it"),
        ({"label_smoothing": 0.1}, "/label_smoothing", "the run sets it"),
        ({"gradients": ["input"]}, "/gradients", "the run sets it"),
        ({"loss": "mse_loss"}, "/loss", "the run sets it"),
        ({"nonsense": 1}, "/nonsense", "unknown member"),
        ({"input": [[1.0, 2.0]] * 3, "target": [0, 1, 1]}, "/input", "has 2 classes; the run has 3"),
        ({"target": [0, 1]}, "/target", ""),
        ({"input": [], "target": []}, "/input", "has no classes"),
    ],
)
def test_what_is_wrong_with_a_batch_is_told(
    evaluations: Evaluations, members: dict[str, Any], pointer: str, told: str
) -> None:
    run = evaluations.made(classes=3, groups=["x", "y"])
    problem = problem_of(evaluations.send(run, **{**MEMBERS, **members}), 422)
    assert told in pointers(problem)[pointer], problem
    assert evaluations.request("GET", f"{PATH}/{run}").json()["batches"] == 0


@pytest.mark.parametrize("rows", [3, 800])
def test_sample_ids_have_64_bits_however_large_the_body(evaluations: Evaluations, rows: int) -> None:
    run = evaluations.made(loss="mse_loss")
    zeros = [0.0] * rows
    last = [*range(rows - 1), 2**63 - 1]
    assert evaluations.added(run, input=zeros, target=zeros, sample_ids=last)["batch"]["samples"] == rows
    answer = evaluations.send(run, input=zeros, target=zeros, sample_ids=[*last[:-1], 2**63])
    (told,) = pointers(problem_of(answer, 422)).values()
    assert "64 bits" in told


def test_groups_need_to_be_named_by_the_run(evaluations: Evaluations) -> None:
    problem = problem_of(evaluations.send(evaluations.made(), groups=["x"] * 3, **MEMBERS), 422)
    assert "named when it is made" in pointers(problem)["/groups"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {"content-type": "application/json"}, 400),
        (b"[]", {"content-type": "application/json"}, 400),
        (b"[" * 50, {"content-type": "application/json"}, 400),
        (b"{}", {"content-type": "text/csv"}, 415),
        (b"x", {"content-type": binary.MEDIA_TYPE}, 400),
        (b"{}", {"content-type": "application/octet-stream"}, 400),
        (b"{}", {"content-type": "application/octet-stream", "inference-header-content-length": "9"}, 400),
        (b"{}", {"content-type": "application/json", "idempotency-key": "a b"}, 400),
        (b'{"batches": 3}', {"content-type": "application/json"}, 422),
        (b'{"batches": [], "input": [1]}', {"content-type": "application/json"}, 422),
        (b'{"inputs": [], "parameters": {"groups": "["}}', {"content-type": "application/json"}, 422),
        (json.dumps({"batches": [{}] * 1025}).encode(), {"content-type": "application/json"}, 413),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused(
    evaluations: Evaluations, body: bytes, headers: dict[str, str], status: int
) -> None:
    run = evaluations.made()
    problem_of(evaluations.request("POST", f"{PATH}/{run}/batches", content=body, headers=headers), status)


def test_the_answer_is_json_and_nothing_else(evaluations: Evaluations) -> None:
    run = evaluations.made()
    headers = {"accept": binary.MEDIA_TYPE}
    problem_of(evaluations.request("POST", f"{PATH}/{run}/batches", json=MEMBERS, headers=headers), 406)


def test_the_expressions_of_a_call_are_bounded_together(evaluations: Evaluations) -> None:
    text = "x * 1" + " " * 2000
    run = evaluations.made(loss="expression", options={"expression": text})
    many = [{"tensors": {"x": [1.0] * (1 + at)}} for at in range(70)]
    results = evaluations.send(run, batches=many).json()["results"]
    assert [one.get("status", 200) for one in results] == [200] * 65 + [413] * 5
    assert "in this call" in results[-1]["detail"]


def test_elements_of_a_call_are_bounded_together_and_told_so(small: Evaluations) -> None:
    run = small.made(loss="mse_loss")
    ten = {"input": [0.0] * 10, "target": [0.0] * 10}
    results = small.send(run, batches=[ten, ten, {"input": [0.0] * 99, "target": [0.0] * 99}, ten]).json()["results"]
    assert [one.get("status", 200) for one in results] == [200, 200, 413, 413]
    alone = results[2]["detail"]
    assert "the limit is 64" in alone, alone
    # What is refused has been looked at too, and leaves nothing for those after it.
    assert "those before it in this call 64; the limit for all together is 64" in results[3]["detail"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluations]:
    """With room for 64 elements in a call."""
    folder = tmp_path_factory.mktemp("small")
    with Evaluations(f"sqlite:///{folder}/evaluations.db", max_elements=64) as made:
        yield made
