from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import binary
from tests.asgi import pointers, problem_of
from tests.evaluations.http.conftest import INPUT, MEMBERS, PATH, TARGET, Evaluations

OIP = [
    {"name": "input", "shape": [3, 3], "datatype": "FP32", "data": INPUT.reshape(-1).tolist()},
    {"name": "target", "shape": [3], "datatype": "INT64", "data": TARGET.tolist()},
]


def expected(logits: Any = INPUT, target: Any = TARGET) -> Any:
    """Each sample's cross entropy, by NumPy in float64."""
    wide = np.asarray(logits, np.float64)
    return np.log(np.exp(wide).sum(1)) - wide[np.arange(len(wide)), target]


def test_a_batch_is_answered_with_its_own_figures_and_the_runs(evaluations: Evaluations) -> None:
    run = evaluations.made()
    first = evaluations.added(run, batch_id="a", input=MEMBERS["input"][:1], target=[0])
    second = evaluations.added(run, batch_id="b", input=MEMBERS["input"][1:], target=[2, 1])
    assert first["batch"]["loss"] == pytest.approx(expected()[0], rel=1e-12)
    assert second["batch"] == {
        "samples": 2,
        "loss": pytest.approx(expected()[1:].mean(), rel=1e-12),
        "divisor": 2.0,
        "count": 2,
        "ignored": 0,
    }
    total = second["total"]
    assert total["loss"] == pytest.approx(expected().mean(), rel=1e-12)
    error = expected().std(ddof=1) / np.sqrt(3)
    assert total["standard_error"] == pytest.approx(error, rel=1e-9)
    assert total["interval"]["high"] == pytest.approx(total["loss"] + 1.959963984540054 * error, rel=1e-9)
    assert (total["samples"], total["batches"], total["count"], total["ignored"]) == (3, 2, 3, 0)


def test_every_wire_adds_the_same(evaluations: Evaluations) -> None:
    run = evaluations.made()
    path = f"{PATH}/{run}/batches"
    head = json.dumps(
        {
            "inputs": [
                {"name": "input", "shape": [3, 3], "datatype": "FP32", "parameters": {"binary_data_size": 36}},
                {"name": "target", "shape": [3], "datatype": "INT64", "parameters": {"binary_data_size": 24}},
            ],
            "parameters": {"batch_id": "oip-binary", "sample_ids": '["a", "b", "c"]'},
        }
    ).encode()
    bodies: list[tuple[bytes, dict[str, str]]] = [
        (json.dumps({"batch_id": "json", **MEMBERS}).encode(), {"content-type": "application/json"}),
        (
            binary.pack({"input": INPUT, "target": TARGET}, batch_id="safetensors"),
            {"content-type": binary.MEDIA_TYPE},
        ),
        (
            json.dumps({"inputs": OIP, "parameters": {"batch_id": "oip"}}).encode(),
            {"content-type": "application/json"},
        ),
        (
            head + INPUT.tobytes() + TARGET.tobytes(),
            {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))},
        ),
    ]
    answers = [evaluations.request("POST", path, content=body, headers=headers) for body, headers in bodies]
    assert [answer.status_code for answer in answers] == [200] * 4, [answer.text for answer in answers]
    assert [answer.json()["batch_id"] for answer in answers] == ["json", "safetensors", "oip", "oip-binary"]
    figures = [answer.json()["batch"] for answer in answers]
    assert figures[0]["loss"] == pytest.approx(
        figures[1]["loss"], rel=1e-6
    )  # decimal digits of float32 are not float32
    assert figures[1] == figures[2] == figures[3]
    hardest = evaluations.results(run)["hardest"]
    assert {one["id"] for one in hardest if one["batch_id"] == "oip-binary"} == {"a", "b", "c"}


def test_many_batches_in_one_call_are_answered_in_order(evaluations: Evaluations) -> None:
    run = evaluations.made()
    bad = {"input": [[1.0, 2.0]], "target": [7]}
    answer = evaluations.send(run, batches=[{"batch_id": "x", **MEMBERS}, bad, {"batch_id": "y", **MEMBERS}, 3])
    assert answer.status_code == 200
    first, second, third, fourth = answer.json()["results"]
    assert (first["batch_id"], third["batch_id"]) == ("x", "y")
    assert (second["status"], fourth["status"]) == (422, 400)
    assert pointers(second)["/target/0"] == "class index 7 is outside [0, 2)"
    assert second["instance"] == f"{PATH}/{run}/batches#/batches/1"
    assert third["total"]["batches"] == 2
    tensors = {"0.input": INPUT, "0.target": TARGET, "1.input": INPUT[:1], "1.target": TARGET[:1]}
    body = binary.pack(tensors, batches=[{"batch_id": "z"}, {}])
    packed = evaluations.request(
        "POST", f"{PATH}/{run}/batches", content=body, headers={"content-type": binary.MEDIA_TYPE}
    )
    assert [one["batch"]["samples"] for one in packed.json()["results"]] == [3, 1]


def test_a_batch_sent_again_counts_once(evaluations: Evaluations) -> None:
    run = evaluations.made()
    first = evaluations.added(run, batch_id="a", **MEMBERS)
    again = evaluations.added(run, batch_id="a", **MEMBERS)
    assert not first["duplicate"]
    assert again["duplicate"]
    assert {**again, "duplicate": False} == first
    other = evaluations.send(run, batch_id="a", input=MEMBERS["input"], target=[1, 2, 1])
    assert "other contents" in pointers(problem_of(other, 422))["/batch_id"]
    assert evaluations.results(run)["batches"] == 1


def test_other_ids_or_groups_are_other_contents(evaluations: Evaluations) -> None:
    run = evaluations.made(groups=["x", "y"])
    evaluations.added(run, batch_id="a", sample_ids=[1, 2, 3], groups=["x", "y", "y"], **MEMBERS)
    assert evaluations.added(run, batch_id="a", sample_ids=["1", "2", "3"], groups=[0, 1, 1], **MEMBERS)["duplicate"]
    for changed in ({"sample_ids": [1, 2, 4], "groups": [0, 1, 1]}, {"sample_ids": [1, 2, 3], "groups": [0, 1, 0]}):
        problem_of(evaluations.send(run, batch_id="a", **changed, **MEMBERS), 422)


def test_an_idempotency_key_names_a_batch(evaluations: Evaluations) -> None:
    run = evaluations.made()
    path, headers = f"{PATH}/{run}/batches", {"idempotency-key": '"k-1"'}
    answers = [evaluations.request("POST", path, json=MEMBERS, headers=headers).json() for _ in range(2)]
    assert [one["batch_id"] for one in answers] == ["k-1", "k-1"]
    assert [one["duplicate"] for one in answers] == [False, True]
    twice = evaluations.request("POST", path, json={"batch_id": "other", **MEMBERS}, headers=headers)
    assert "/batch_id" in pointers(problem_of(twice, 422))
    many = evaluations.request("POST", path, json={"batches": [MEMBERS]}, headers=headers)
    assert "/batches" in pointers(problem_of(many, 422))
    unnamed = [evaluations.added(run, **MEMBERS)["batch_id"] for _ in range(2)]
    assert len(set(unnamed)) == 2


def test_no_batches_are_answered_with_no_results(evaluations: Evaluations) -> None:
    assert evaluations.send(evaluations.made(), batches=[]).json() == {"results": []}


def test_a_batch_without_samples_adds_nothing(evaluations: Evaluations) -> None:
    run = evaluations.made()
    empty = binary.pack({"input": np.zeros((0, 3), np.float32), "target": np.zeros(0, np.int64)}, batch_id="empty")
    answer = evaluations.request(
        "POST", f"{PATH}/{run}/batches", content=empty, headers={"content-type": binary.MEDIA_TYPE}
    )
    assert answer.json()["batch"] == {"samples": 0, "loss": "NaN", "divisor": 0.0, "count": 0, "ignored": 0}
    assert evaluations.added(run, **MEMBERS)["total"]["samples"] == 3


def test_batches_are_listed_as_they_came(evaluations: Evaluations) -> None:
    run = evaluations.made()
    for name in ("b", "a", "c"):
        evaluations.added(run, batch_id=name, **MEMBERS)
    page = evaluations.request("GET", f"{PATH}/{run}/batches?limit=2").json()
    assert [one["batch_id"] for one in page["batches"]] == ["b", "a"]
    rest = evaluations.request("GET", f"{PATH}/{run}/batches?cursor={page['next_cursor']}").json()
    assert [one["batch_id"] for one in rest["batches"]] == ["c"]
    assert rest["next_cursor"] is None
    problem_of(evaluations.request("GET", f"{PATH}/{run}/batches?cursor=nonsense"), 422)


@settings(max_examples=5)
@given(st.data())
def test_order_and_repetition_change_no_byte_of_the_results(evaluations: Evaluations, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    batches = []
    for at in range(4):
        rows = int(rng.integers(1, 6))
        logits = rng.normal(size=(rows, 3)) * 10.0 ** rng.integers(-3, 4)
        target = rng.integers(0, 3, rows)
        target[rng.random(rows) < 0.2] = -100
        batches.append({"batch_id": str(at), "input": logits.tolist(), "target": target.tolist()})
    spec = {"classes": 3, "metrics": ["accuracy", "auroc", "calibration_error", "confusion_matrix"]}
    spec["options"] = {"weight": [0.5, 1.25, 3.0]}
    straight, mixed = evaluations.made(**spec), evaluations.made(**spec)
    for batch in batches:
        evaluations.added(straight, **batch)
    for at in data.draw(st.permutations([0, 1, 2, 3, 1, 3]), label="order"):
        evaluations.added(mixed, **batches[at])
    assert json.dumps(evaluations.results(mixed)) == json.dumps(evaluations.results(straight))


def test_an_inference_request_is_told_by_its_members_not_by_its_text(evaluations: Evaluations) -> None:
    run = evaluations.made()
    assert evaluations.added(run, batch_id="inputs", **MEMBERS)["batch_id"] == "inputs"
    ids = [f"id-{at:06d}" for at in range(600)]
    zeros = {"shape": [600], "datatype": "FP64", "data": [0.0] * 600}
    late = {
        "parameters": {"sample_ids": json.dumps(ids)},
        "inputs": [{"name": "input", **zeros}, {"name": "target", **zeros}],
    }
    assert json.dumps(late).index('"inputs"') > 4096
    assert evaluations.added(evaluations.made(loss="mse_loss"), **late)["batch"]["samples"] == 600


def test_an_expressions_batches_hold_its_tensors(evaluations: Evaluations) -> None:
    options = {"expression": "w * (x - y) ** d", "constants": {"d": 2.0}, "tensors": {"w": [1.0, 3.0]}}
    run = evaluations.made(loss="expression", options=options)
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 7, 2))
    for rows in (slice(0, 2), slice(2, 7)):
        evaluations.added(run, tensors={"x": x[rows].tolist(), "y": y[rows].tolist()})
    expected = (np.array([1.0, 3.0]) * (x - y) ** 2).mean()
    assert evaluations.results(run)["loss"] == pytest.approx(expected, rel=1e-12)
    body = binary.pack({"tensors.x": x, "tensors.y": y}, batch_id="packed")
    path, headers = f"{PATH}/{run}/batches", {"content-type": binary.MEDIA_TYPE}
    packed = evaluations.request("POST", path, content=body, headers=headers)
    assert packed.json()["batch"]["loss"] == pytest.approx(expected, rel=1e-12)
    twice = evaluations.send(run, tensors={"x": [1.0, 2.0], "y": [1.0, 2.0], "w": [1.0, 1.0]})
    assert "the run sets it" in pointers(problem_of(twice, 422))["/tensors/w"]
    own = evaluations.send(run, tensors={"x": [1.0, 2.0], "y": [1.0, 2.0]}, constants={"d": 1.0})
    assert "the run sets it" in pointers(problem_of(own, 422))["/constants"]
