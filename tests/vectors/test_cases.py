"""Every loss has vectors of every kind that it can have, and they are answered as they say, to the bit, in every form.

All in one file, so that one process makes them once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from schemas.losses import LOSSES
from schemas.problem import InvalidRequest
from schemas.request import LossRequest
from schemas.tensor import read
from schemas.vectors.answer import Vectors
from schemas.vectors.plans import Plan, optional
from service.cli import app
from service.vectors import cases as drawn
from service.vectors.answered import answer, jumps
from service.vectors.cases import Undrawable, cases
from service.vectors.tolerance import tolerances
from service.wire import safetensors
from tests.asgi import InProcess
from tests.vectors.made import document, made

LEAST = {"example": 1, "shape": 1, "reduction": 3, "gradient": 2, "cotangent": 3, "edge": 2}
"""Vectors in float64 that every loss has at least. Those of its tensors, options and masks are asked for one by one."""


def names(name: str) -> list[str]:
    return [case["name"] for case in document(name)["cases"]]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_vectors_of_every_kind(name: str) -> None:
    cls = LOSSES[name]
    found = Counter(case["kind"] for case in document(name)["cases"] if case["name"].endswith("/float64"))
    structured = not any(spec.dims for spec in cls.tensor_fields.values())  # no dims: nothing but the example tells
    for kind, least in LEAST.items():
        assert found[kind] >= (0 if structured and kind in ("shape", "edge") else least), kind
    for option in cls.option_names:
        if option != "ignore_index" and cls.varied.get(option) != ():
            assert any(one.startswith(f"option/{option}/") for one in names(name)), option
    for tensor in optional(cls):
        assert f"tensor/{tensor}/float64" in names(name)
    for tensor, spec in cls.tensor_fields.items():
        if spec.differentiable == "always":
            assert f"gradient/{tensor}/float64" in names(name)
        if spec.kind == "mask":
            assert f"ignored/{tensor}/float64" in names(name)
    if "ignore_index" in cls.option_names and "ignore_index" not in cls.varied:
        assert "ignored/class/float64" in names(name)
        default = cls.model_fields["ignore_index"].default
        assert ("ignored/default/float64" in names(name)) == (default is not None)


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_left_out_is_told_and_is_what_may_be(name: str) -> None:
    told = document(name)["left_out"]
    assert all(one["reason"] for one in told)
    for one in told:
        plan, _, dtype = one["name"].rpartition("/")
        narrow = dtype == "float32" and one["reason"].startswith("float32")
        refusable = plan.startswith(("edge/", "shape/")) or plan == "tensor/all" or plan.endswith("/broadcast")
        assert narrow or refusable, one
    assert not {one["name"] for one in told} & set(names(name))


@pytest.mark.parametrize("name", LOSSES)
def test_a_file_is_of_its_documented_form(name: str) -> None:
    found = Vectors.model_validate(document(name))
    assert found.loss == name
    assert len({case.name for case in found.cases}) == len(found.cases)
    for case in found.cases:
        assert case.name.rpartition("/")[2] == case.request["dtype"] == case.expected.dtype
        assert case.request["loss"] == name
        assert case.description


@pytest.mark.parametrize("name", LOSSES)
def test_every_number_drawn_is_the_same_in_float32(name: str) -> None:
    cls = LOSSES[name]
    drawn = [case for case in document(name)["cases"] if case["kind"] != "example"]
    for case in drawn:
        for tensor in cls.tensor_fields:
            if tensor in case["request"]:
                array = np.asarray(read(case["request"][tensor]).array, np.float64)
                np.testing.assert_array_equal(array.astype(np.float32), array, err_msg=f"{case['name']} {tensor}")


@pytest.mark.parametrize("name", LOSSES)
def test_both_types_are_asked_the_same_and_agree(name: str) -> None:
    by_name = {case["name"]: case for case in document(name)["cases"]}
    for one, case in by_name.items():
        if not one.endswith("/float32"):
            continue
        wide = by_name[one.removesuffix("32") + "64"]
        assert _without_types(case["request"]) == _without_types(wide["request"])
        for number, exact in _numbers(wide["expected"]).items():
            told = _numbers(case["expected"])[number]
            allowed = case["tolerance"]
            np.testing.assert_allclose(
                told, exact, rtol=allowed["rtol"], atol=allowed["atol"], err_msg=f"{one} {number}"
            )


def _without_types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_types(inner) for name, inner in value.items() if name != "dtype"}
    return [_without_types(inner) for inner in value] if isinstance(value, list) else value


def _numbers(expected: dict[str, Any]) -> dict[str, Any]:
    found = {"loss": expected["loss"], **expected["gradients"]}
    return {name: np.asarray(read(value).array, np.float64) for name, value in found.items() if value != []}


def test_a_slope_that_jumps_is_seen_on_whichever_side_it_is_taken() -> None:
    for loss in ("l1_loss", "quantile_loss"):
        request = {"loss": loss, "input": [1.0, 0.25], "target": [1.0, 2.0], "dtype": "float64"}
        assert jumps(request, answer(request)) == ("gradients.input",)
        request["input"] = [1.5, 0.25]
        assert jumps(request, answer(request)) == ()
    for target in (1, -1):  # at the margin, from either side
        request = {"loss": "margin_ranking_loss", "input1": [0.5], "input2": [0.5], "target": [target]}
        assert jumps(request, answer(request)) == ("gradients.input1", "gradients.input2")


def test_ties_at_a_kink_ask_for_the_loss_alone() -> None:
    by_name = {case["name"]: case for case in document("l1_loss")["cases"]}
    assert by_name["edge/ties/float64"]["request"]["gradients"] == []
    assert (
        "gradients"
        not in {case["name"]: case for case in document("mse_loss")["cases"]}["edge/ties/float64"]["request"]
    )


def test_an_answer_that_cancels_is_held_to_fewer_digits() -> None:
    request: dict[str, Any] = {"loss": "l1_loss", "input": [1.5, 0.25], "target": [1.0, 2.0]}
    plain = tolerances(answer({**request, "dtype": "float64"}), answer({**request, "dtype": "float32"}))
    assert [one and one.atol for one in plain.values()] == [1e-12, 1e-6]
    # float32 holds 10000.333 to three decimals: the difference of the logits has few digits left.
    request = {"loss": "cross_entropy", "input": [[1e4, 9999.0], [1e4, 0.0]], "target": [1, 0], "reduction": "sum"}
    request["input"][0][1] = 1e4 + 1 / 3
    odd = tolerances(answer({**request, "dtype": "float64"}), answer({**request, "dtype": "float32"}))
    assert odd["float32"] is not None
    assert odd["float32"].atol > 1e-6


def test_a_plan_that_cannot_be_drawn_is_never_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    impossible = Plan("option/none/0", "option", "no such member", members={"no_such": 1})

    def only(plan: Plan) -> None:
        def plans(cls: type[LossRequest]) -> Iterator[Plan]:
            yield plan

        monkeypatch.setattr(drawn, "plans", plans)

    only(impossible)
    with pytest.raises(Undrawable, match=r"mse_loss, option/none/0: refused: /no_such: unknown member"):
        cases(LOSSES["mse_loss"])
    only(Plan("edge/none", "edge", "the same", members={"no_such": 1}, refusable=True))
    found, left_out = cases(LOSSES["mse_loss"])
    assert found == []
    assert [one.name for one in left_out] == ["edge/none/float64", "edge/none/float32"]
    assert all("unknown member" in one.reason for one in left_out)


def test_an_option_that_goes_with_another_is_drawn_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def plans(cls: type[LossRequest]) -> Iterator[Plan]:
        yield Plan("option/p/0", "option", "p = 1", members={"p": 1})

    def needs_swap(told: dict[str, Any]) -> Any:
        if not told.get("swap"):
            raise InvalidRequest([])
        return answer(told)

    monkeypatch.setattr(drawn, "plans", plans)
    monkeypatch.setattr(drawn, "answer", needs_swap)
    found, left_out = cases(LOSSES["triplet_margin_loss"])
    assert (len(found), left_out) == (2, [])
    assert all((case.members["p"], case.members["swap"]) == (1, True) for case in found)


def test_two_makings_are_the_same_bytes() -> None:
    for name in ("cross_entropy", "ctc_loss", "quantile_loss"):
        made.cache_clear()
        first = made(name).as_json(), made(name).as_safetensors()
        made.cache_clear()
        assert (made(name).as_json(), made(name).as_safetensors()) == first


@pytest.mark.parametrize("name", LOSSES)
def test_every_vector_is_answered_as_it_says(client: InProcess, name: str) -> None:
    lines = made(name).as_json().splitlines()[1:-1]
    for case, line in zip(document(name)["cases"], lines, strict=True):
        answer = client.post(json.dumps(case["request"]).encode())
        assert answer.status_code == 200, (case["name"], answer.text)
        assert b'"expected":' + answer.content + b',"tolerance":' in line, (case["name"], answer.text)


@pytest.mark.parametrize("name", LOSSES)
def test_every_binary_vector_is_answered_as_it_says(client: InProcess, name: str) -> None:
    file = safetensors.read(made(name).as_safetensors(), max_tensors=1 << 16)
    document = json.loads(file.metadata["vectors"])
    tensors = {one: tensor.array for one, tensor in file.tensors.items()}
    for case in document["cases"]:
        asked = _under(tensors, f"{case['name']}.request.")
        body = b"".join(safetensors.write(asked, {"request": json.dumps(case["request"])}))
        answer = client.post(body, content_type=safetensors.MEDIA_TYPE)
        assert answer.status_code == 200, (case["name"], answer.text)
        told = safetensors.read(answer.content, 64)
        expected = _under(tensors, f"{case['name']}.expected.")
        assert told.tensors.keys() == expected.keys()
        for one, tensor in told.tensors.items():
            assert tensor.array.dtype == expected[one].dtype
            assert tensor.array.shape == expected[one].shape
            assert tensor.array.tobytes() == expected[one].tobytes(), (case["name"], one)
        assert json.loads(told.metadata["result"]) == case["expected"]


def _under(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def test_the_command_without_names_writes_every_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.vectors.files.Made", lambda cls: made(cls.name))
    assert CliRunner().invoke(app, ["vectors", "--out", str(tmp_path)]).exit_code == 0
    assert {file.name for file in tmp_path.iterdir()} == {"index.json"} | {f"{name}.json" for name in LOSSES}
