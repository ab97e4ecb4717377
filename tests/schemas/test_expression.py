"""Reading expressions: what is wrong is told with its column, and every bound holds before anything is made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.expression import ExpressionFault, read
from schemas.expression.lexicon import MAX_TEXT
from schemas.expression.read import MAX_NODES
from schemas.losses.expression import MAX_CONSTANTS, Expression
from schemas.problem import TOO_LARGE, InvalidRequest
from schemas.tensor import Reading, Tensor

X = [[0.5, -1.0, 3.0], [2.0, 0.0, -0.5]]
TENSORS = {"x": X, "y": [0.1, 0.5, 0.9]}


def request(text: str, limit: int = 1 << 16, **members: Any) -> Expression:
    return Expression.model_validate(
        {"expression": text, "tensors": TENSORS, **members}, context=Reading(max_elements=limit)
    )


def faults(text: str, limit: int = 1 << 16, **members: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as error:
        request(text, limit, **members)
    return {fault.pointer: fault.detail for fault in error.value.faults}


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("x.T", 2, "there are no members"),
        ("x[0]", 2, "there is no indexing"),
        ("x & y", 3, "write and"),
        ("x | y", 3, "write or"),
        ("~x", 1, "write not"),
        ("x ^ 2", 3, "a power is written **"),
        ("'x'", 1, "has no meaning here"),
        ("1j * x", 1, "no number that is written like this"),
        ("x + 1_000", 5, "no number that is written like this"),
        ("x + meen", 5, "there is no name meen"),
        ("x + Y", 5, "there is no name Y"),
        ("lables * x", 1, "there is no name lables; did you mean labels"),
        ("1 + meen(x)", 5, "there is no function meen; did you mean mean"),
        ("x(y)", 1, "x is no function; a product is written x * (...)"),
        ("abs(x)(y)", 1, "a function is called by its name"),
        ("mean + x", 1, "mean is a function: mean(x, dim=none, keepdim=False)"),
        ("mean(x", 5, "never closed"),
        ("mean(x))", 8, "never opened"),
        ("x y", 1, "no formula"),
        ("x // y", 1, "an operator is one of"),
        ("x in y", 1, "a comparison is one of"),
        ("x if y else x", 1, "where(condition, x, y)"),
        ("(x, y)", 1, "a comma stands between arguments"),
        ("sum(z for z in x)", 4, "there are no loops"),
        ("mean(*x)", 6, "a star stands between two factors"),
        ("mean(**x)", 6, "no such argument"),
        ("mean(x, axis=0)", 9, "no such argument: mean(x, dim=none, keepdim=False)"),
        ("mean(x, 0, True, 1)", 18, "too many arguments"),
        ("mean(x, x=y)", 9, "x is given twice"),
        ("mean()", 1, "x is missing"),
        ("softmax(x)", 1, "dim is missing"),
        ("max(x, y)", 8, "write maximum(x, y)"),
        ("mean(x, dim=y)", 13, "dim is a whole number"),
        ("softmax(x, dim=(0, 1))", 16, "dim is a whole number"),
        ("mean(x, keepdim=1)", 17, "keepdim is True or False"),
        ("norm(x, p=0)", 11, "p is a number above 0"),
        ("clamp(x)", 1, "clamp needs min or max"),
        ("mean(x, dim=2)", 1, "dim 2 is not among the 2 dims here"),
        ("sum(x, dim=(0, -2))", 1, "dim -2 is named twice"),
        ("x + sum(x, 1)", 1, "the shapes [2, 3] and [2] do not broadcast"),
        ("1e999 * x", 1, "beyond the range of float64"),
        ("1" + "0" * 400 + " * x", 1, "beyond the range of float64"),
        ("x * 1e300", 5, "beyond the range of float32"),
        ("True * x", 1, "a number is needed here"),
        ("1 + 2", 1, "there is no tensor in it"),
        (" \n ", 1, "the expression is empty"),
        ("x +\n  z", 7, "there is no name z"),
        ("-" * 300 + "x", 102, "nested deeper than 100 levels"),
        ("(" * 65 + "x" + ")" * 65, 65, "more than 64 brackets are open"),
        ("+".join(["x"] * 513), 1025, "more than 1024 names, numbers and signs"),
        ("+".join(f"exp({at} * x)" for at in range(100)), 1, f"more than {MAX_NODES} steps"),
        ("x + caf\u00e9", 8, "has no meaning here"),
        ("x\0", 2, "has no meaning here"),
    ],
)
def test_what_is_wrong_is_told_with_its_column(text: str, column: int, told: str) -> None:
    members: dict[str, Any] = {"tensors": {**TENSORS, "labels": [1.0]}} if "lables" in text else {}
    found = faults(text, **members)
    assert found.keys() == {"/expression"}
    assert told in found["/expression"]
    if "steps" not in told:
        assert found["/expression"].startswith(f"column {column}: ")


def test_a_text_has_a_greatest_length() -> None:
    assert "2048" in faults("x" + " " * MAX_TEXT)["/expression"]
    with pytest.raises(ExpressionFault, match="2048"):
        read("x" + " " * MAX_TEXT, ("x",), ())


@pytest.mark.parametrize(
    ("name", "told"),
    [("mean", "is a function"), ("if", "is a word"), ("pi", "is a word"), ("a b", "a name is"), ("é", "a name is"),
     ("", "a name is"), ("a" * 65, "a name is"), ("1x", "a name is"), ("a/b", "a name is")],
)  # fmt: skip
def test_a_name_is_an_identifier_and_no_word_of_the_language(name: str, told: str) -> None:
    escaped = name.replace("/", "~1")
    assert told in faults("x", tensors={"x": X, name: X})[f"/tensors/{escaped}"]
    assert told in faults("x", constants={name: 1.0})[f"/constants/{escaped}"]


def test_a_name_is_a_tensor_or_a_constant() -> None:
    assert faults("x", constants={"x": 1.0}) == {"/constants/x": "x is a tensor already"}


def test_there_is_a_tensor_and_there_are_not_too_many() -> None:
    assert "at least one tensor" in faults("x", tensors={})["/tensors"]
    assert "at most 64" in faults("x", tensors={f"x{at}": 1.0 for at in range(65)})["/tensors"]
    assert "at most 64" in faults("x", constants={f"c{at}": 1.0 for at in range(MAX_CONSTANTS + 1)})["/constants"]


def test_what_is_wrong_in_a_tensor_is_told_where_it_is() -> None:
    assert faults("x", tensors={"x": [1.0, "a"]}).keys() == {"/tensors/x/1"}


def test_equal_steps_are_one() -> None:
    program = read("mean(where(abs(x - y) < d, 0.5*(x-y)**2, d*(abs(x-y)-0.5*d)))", ("x", "y"), ("d",))
    assert [node.op for node in program.nodes].count("sub") == 2  # x - y, and the one of d


def test_numbers_among_themselves_are_worked_out_as_ieee_has_it() -> None:
    for text, value in (("1 / 0", np.inf), ("-1 / 0", -np.inf), ("0 / 0", np.nan), ("10 ** 400", np.inf),
                        ("0 ** -1", np.inf), ("(-8) ** (1 / 3)", np.nan), ("(-10) ** 401", -np.inf), ("-2 ** 2", -4.0),
                        ("+pi", np.pi), ("inf - inf", np.nan), ("2 * 3 - 1 / 4", 5.75)):  # fmt: skip
        program = read(f"x + ({text})", ("x",), ())
        step = program.nodes[-1].args[1]
        np.testing.assert_equal(program.numbers({})[step or 0], value, err_msg=text)


def test_the_elements_of_every_step_count_before_anything_is_made() -> None:
    wide, tall = Tensor(np.zeros((1, 30_000)), typed=True), Tensor(np.zeros((30_000, 1)), typed=True)
    text = "mean(a - b)"
    with pytest.raises(InvalidRequest) as error:
        request(text, 1 << 24, tensors={"a": wide, "b": tall})
    assert error.value.status == TOO_LARGE
    assert "needs 18000" in error.value.faults[0].detail
    small = request("mean(x - y)", 1 << 16)
    assert small.checked.layout.elements == 6 + 3 + 6 + 6 + 1  # tensors, difference, mean with its input


def test_no_step_has_more_empty_rows_than_an_answer_may_have() -> None:
    empty = {"a": Tensor(np.zeros((60_000, 1, 0)), typed=True), "b": Tensor(np.zeros((1, 60_000, 0)), typed=True)}
    with pytest.raises(InvalidRequest) as error:
        request("a + b", tensors=empty)
    assert [(fault.pointer, fault.status) for fault in error.value.faults] == [("/expression", TOO_LARGE)]
    with pytest.raises(InvalidRequest) as error:
        request("mean(a)", tensors={"a": Tensor(np.zeros((70_000, 0)), typed=True)})
    assert [fault.pointer for fault in error.value.faults] == ["/tensors/a"]


@pytest.mark.parametrize("text", ["amax(x)", "min(x, dim=0)", "norm(x, inf)"])
def test_there_is_no_largest_of_nothing(text: str) -> None:
    assert "of nothing" in faults(text, tensors={"x": Tensor(np.zeros((0, 3)), typed=True)})["/expression"]


def test_what_is_not_used_is_told() -> None:
    found = request("mean(x)", constants={"k": 1.0}).checked.warnings
    assert found == ["tensors.y is not in the expression", "constants.k is not in the expression"]


def test_gradients_are_those_in_all_tensors_that_were_not_given_as_integers() -> None:
    tensors = {"x": X, "n": Tensor(np.array([1, 0, 1], np.int8), typed=True), "m": Tensor(np.ones(3, bool), typed=True)}
    assert request("x * n * m", tensors=tensors).checked.gradients == ("x",)
    assert request("x * n * m", tensors=tensors, gradients=["n"]).checked.gradients == ("n",)
    assert "its tensors are x, n, m" in faults("x * n * m", tensors=tensors, gradients=["z"])["/gradients/0"]
