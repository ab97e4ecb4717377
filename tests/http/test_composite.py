"""Sums of losses: each term is what it is alone, and what is wrong with one is told within it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.losses import LOSSES
from schemas.terms import MAX_TERMS, OWN
from tests.asgi import InProcess

LOGITS, LABELS = [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], [0, 2]
TENSORS: dict[str, Any] = {
    "logits": LOGITS,
    "labels": LABELS,
    "other": [[1.0, 0.0, 0.5], [0.2, 0.2, 0.1]],
    "share": [0.5, 1.0, 2.0],
}
ENTROPY = {"loss": "cross_entropy", "input": "logits", "target": "labels"}
DISTANCE = {"loss": "mse_loss", "input": "logits", "target": "other"}


def composite(client: InProcess, *terms: dict[str, Any], **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.answer("composite", **{"tensors": TENSORS, "terms": list(terms), **members})
    return found


def faults(client: InProcess, *terms: Any, **members: Any) -> dict[str, str]:
    return client.faults("composite", **{"tensors": TENSORS, "terms": list(terms), **members})


def test_no_loss_has_a_member_that_a_term_has() -> None:
    assert {name for cls in LOSSES.values() for name in cls.model_fields} & (OWN - {"loss"}) == set()


def test_the_sum_is_that_of_its_terms_alone(client: InProcess) -> None:
    smoothed = {**ENTROPY, "label_smoothing": 0.1, "weight": "share"}
    found = composite(
        client, {**smoothed, "factor": 0.7}, {**DISTANCE, "factor": 0.3, "reduction": "sum", "name": "near"},
        dtype="float64",
    )  # fmt: skip
    one = client.answer(
        "cross_entropy", input=LOGITS, target=LABELS, label_smoothing=0.1, weight=TENSORS["share"], cotangent=0.7,
        dtype="float64",
    )  # fmt: skip
    two = client.answer(
        "mse_loss", input=LOGITS, target=TENSORS["other"], reduction="sum", cotangent=0.3, dtype="float64"
    )
    assert found["terms"] == [
        {"name": "cross_entropy", "value": one["loss"], "factor": 0.7, "divisor": 2.5},
        {"name": "near", "value": two["loss"], "factor": 0.3, "divisor": 6.0},
    ]
    assert found["loss"] == 0.7 * one["loss"] + 0.3 * two["loss"]
    expected = np.array(one["gradients"]["input"]) + np.array(two["gradients"]["input"])
    assert found["gradients"] == {"logits": expected.tolist()}
    assert (found["divisor"], found["count"], found["ignored"]) == (1, 1, 0)


def test_a_tensor_may_be_in_several_places(client: InProcess) -> None:
    found = composite(client, {"loss": "mse_loss", "input": "other", "target": "logits"}, DISTANCE, dtype="float64")
    difference = np.array(LOGITS) - np.array(TENSORS["other"])
    np.testing.assert_allclose(found["gradients"]["logits"], 4 * difference / 6)
    np.testing.assert_allclose(found["gradients"]["other"], -4 * difference / 6)


def test_gradients_are_those_that_are_asked_for(client: InProcess) -> None:
    assert composite(client, ENTROPY, DISTANCE, gradients=[])["gradients"] == {}
    found = composite(client, ENTROPY, DISTANCE, gradients=["other", "logits"], cotangent=2.0)
    assert list(found["gradients"]) == ["other", "logits"]
    np.testing.assert_allclose(
        found["gradients"]["other"], 2 * 2 * (np.array(TENSORS["other"]) - np.array(LOGITS)) / 6, rtol=1e-6
    )


def test_an_expression_finds_its_tensors_by_their_names(client: InProcess) -> None:
    known = composite(client, DISTANCE)
    own = {"loss": "expression", "expression": "mean(square(logits - other))"}
    renamed = {"loss": "expression", "expression": "mean((a - b)**2)", "tensors": {"a": "logits", "b": "other"}}
    for term in (own, renamed):
        found = composite(client, term, gradients=["logits"])
        assert found["loss"] == pytest.approx(known["loss"])
        np.testing.assert_allclose(found["gradients"]["logits"], known["gradients"]["logits"], rtol=1e-6)


def test_lists_of_tensors_hold_names_too(client: InProcess) -> None:
    example = LOSSES["adaptive_log_softmax_with_loss"].about.example
    tail = example["tail"][0]
    tensors = {"hidden": example["input"], "y": example["target"], "head": example["head_weight"],
               "down": tail["projection"], "up": tail["output"]}  # fmt: skip
    term = {"loss": "adaptive_log_softmax_with_loss", "input": "hidden", "target": "y", "head_weight": "head",
            "tail": [{"projection": "down", "output": "up"}], "cutoffs": [2], "div_value": 2.0}  # fmt: skip
    found = composite(client, term, tensors=tensors)
    known = client.answer("adaptive_log_softmax_with_loss", **example)
    assert found["loss"] == known["loss"]
    assert found["gradients"]["down"] == known["gradients"]["tail.0.projection"]


def test_a_tensor_without_a_gradient_in_some_term_has_none(client: InProcess) -> None:
    terms = ({"loss": "mse_loss", "input": "share", "target": "share"}, {**ENTROPY, "weight": "share"})
    found = composite(client, *terms)
    assert list(found["gradients"]) == ["logits"]
    assert any("share has no gradient" in warning for warning in found["warnings"])
    assert "class indices" in faults(client, *terms, gradients=["share"])["/gradients/0"]


def test_what_is_in_no_term_is_told_and_has_a_gradient_of_zero(client: InProcess) -> None:
    found = composite(client, ENTROPY, gradients=["share"])
    assert found["gradients"] == {"share": [0, 0, 0]}
    assert "tensors.share is in no term" in found["warnings"]


def test_values_that_are_not_finite_are_told(client: InProcess) -> None:
    tensors = {"logits": LOGITS, "labels": [0, 0]}
    found = composite(client, {**ENTROPY, "ignore_index": 0}, tensors=tensors)
    assert found["terms"][0]["value"] == "NaN"
    zero = composite(client, {**ENTROPY, "ignore_index": 0}, tensors=tensors, on_empty="zero")
    assert zero["loss"] == zero["terms"][0]["value"] == 0


@pytest.mark.parametrize(
    ("term", "where", "told"),
    [
        ({**ENTROPY, "loss": "cross_entropie"}, "/loss", "there is no loss 'cross_entropie'"),
        ({"loss": "composite", "tensors": {}, "terms": []}, "/loss", "no term of another"),
        ({**ENTROPY, "input": "logit"}, "/input", "there is no tensor 'logit'; did you mean logits"),
        ({**ENTROPY, "input": LOGITS}, "/input", "the name of one of the tensors is needed"),
        ({"loss": "cross_entropy", "input": "logits"}, "/target", "required, but missing"),
        ({**ENTROPY, "target": "share"}, "/target", "whole number"),
        ({**ENTROPY, "target": "far"}, "/target", "far, element [1]: class index 7 is outside [0, 3)"),
        ({**ENTROPY, "label_smoothing": 2}, "/label_smoothing", "less than or equal to 1"),
        ({**ENTROPY, "lable_smoothing": 0.1}, "/lable_smoothing", "did you mean label_smoothing"),
        ({**ENTROPY, "reduction": "none"}, "/reduction", "a term is a number"),
        ({**ENTROPY, "gradients": ["input"]}, "/gradients", "the composite says which"),
        ({**ENTROPY, "dtype": "float64"}, "/dtype", "all terms have the composite's"),
        ({**ENTROPY, "cotangent": 1.0}, "/cotangent", "a term has a factor"),
        ({**ENTROPY, "cotangents": [1.0, 2.0]}, "/cotangents", "a term has a factor"),
        ({**ENTROPY, "factor": "1"}, "/factor", "valid number"),
        ({**ENTROPY, "factor": None}, "/factor", "valid number"),
        ({"loss": "expression", "expression": "mean(z)"}, "/expression", "there is no name z"),
        (
            {"loss": "expression", "expression": "mean(a)", "tensors": {"a": "z"}},
            "/tensors/a",
            "there is no tensor 'z'",
        ),
        ({"loss": "expression", "expression": "mean(a)", "tensors": ["a"]}, "/tensors", "dict"),
    ],
)
def test_what_is_wrong_with_a_term_is_told_within_it(client: InProcess, term: Any, where: str, told: str) -> None:
    tensors = {**TENSORS, "far": [0, 7]}
    found = faults(client, DISTANCE, term, tensors=tensors)
    assert told in found[f"/terms/1{where}"].replace("dictionary", "dict")


def test_tensors_may_be_named_as_members_are(client: InProcess) -> None:
    tensors = {"cotangent": LOGITS, "dtype": TENSORS["other"], "constants": [1.0], "y": [2.0]}
    term = {"loss": "mse_loss", "input": "cotangent", "target": "dtype"}
    plain = composite(client, DISTANCE, gradients=["logits", "other"], cotangent=2.0)
    found = composite(client, term, tensors=tensors, gradients=["cotangent", "dtype"], cotangent=2.0)
    assert [*found["gradients"].values()] == [*plain["gradients"].values()]
    own = {"loss": "expression", "expression": "sum(constants * y)", "constants": {"y": 1.0}}
    given = {"constants": "constants", "y": "y"}
    told = faults(client, term, {**own, "tensors": given}, tensors=tensors)
    assert told == {"/terms/1/constants/y": "y is a tensor already"}


@pytest.mark.parametrize(("member", "value"), [("cotangent", "one"), ("dtype", "float31"), ("encoding", 3)])
def test_a_tensor_that_is_named_as_a_broken_member_is_no_fault(client: InProcess, member: str, value: Any) -> None:
    own = {"expression": f"sum({member} * y)", "tensors": {member: [1.0], "y": [2.0]}, "gradients": [member]}
    assert set(client.faults("expression", **own, **{member: value})) == {f"/{member}"}
    assert LOSSES["expression"].path_of(member) == f"tensors.{member}"


def test_all_faults_are_told_at_once(client: InProcess) -> None:
    found = faults(client, {**ENTROPY, "input": "a"}, {**DISTANCE, "weight": "b"}, gradients=["c"])
    assert set(found) == {"/terms/0/input", "/terms/1/weight", "/gradients/0"}


def test_there_are_terms_and_not_too_many(client: InProcess) -> None:
    assert set(faults(client)) == {"/terms"}
    assert set(faults(client, *[ENTROPY] * (MAX_TERMS + 1))) == {"/terms"}
    assert len(composite(client, *[ENTROPY] * MAX_TERMS)["terms"]) == MAX_TERMS


def test_the_elements_of_all_terms_add_up(small: InProcess) -> None:
    limit = small.get("/v1/limits").json()["elements"]
    side = int((limit / 4) ** 0.5)
    tensors = {"a": np.zeros((side, side)).tolist(), "b": np.zeros((side, side)).tolist()}
    term = {"loss": "expression", "expression": "sum(a)", "tensors": {"a": "a"}}
    body = {"loss": "composite", "tensors": tensors, "terms": [term] * 16}
    response = small.request("POST", "/v1/loss", json=body)
    assert response.status_code == 413, response.text


@pytest.mark.parametrize(("path", "more"), [("/v1/hvp", {"vectors": {"logits": LOGITS}}), ("/v1/check", {"loss": 1.0})])
def test_where_one_formula_is_needed_a_composite_is_refused(client: InProcess, path: str, more: dict[str, Any]) -> None:
    request = {"loss": "composite", "tensors": TENSORS, "terms": [ENTROPY]}
    response = client.request("POST", path, json={"request": request, **more})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/request/loss"


def test_an_expression_has_second_derivatives(client: InProcess) -> None:
    request = {"loss": "expression", "expression": "sum(x**3)", "tensors": {"x": [1.0, 2.0]}}
    found = client.request("POST", "/v1/hvp", json={"request": request, "vectors": {"x": [1.0, 0.5]}})
    assert found.status_code == 200, found.text
    assert found.json()["hvp"] == {"x": [6.0, 6.0]}


def test_an_expression_takes_many_cotangents(client: InProcess) -> None:
    members = {"expression": "x * y", "tensors": {"x": [1.0, 2.0], "y": [3.0, 4.0]}, "reduction": "none"}
    found = client.answer("expression", **members, cotangents=[[1.0, 0.0], [0.0, 2.0]])
    assert found["gradients"] == {"x": [[3, 0], [0, 8]], "y": [[1, 0], [0, 4]]}
