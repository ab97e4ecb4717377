"""The type that a loss is computed and answered in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.asgi import InProcess, strict


def typed(dtype: str, *numbers: float) -> dict[str, Any]:
    """A vector of that type."""
    return {"dtype": dtype, "shape": [len(numbers)], "data": list(numbers)}


CASES = [
    ([1.0], [0.0], "float32"),
    ([1], [0], "float32"),
    (typed("int64", 1), [0.0], "float32"),
    (typed("float64", 1), [0.0], "float64"),
    ([1.0], typed("float64", 0), "float64"),
    (typed("float32", 1), typed("float64", 0), "float64"),
    (typed("float16", 1), [0.0], "float16"),
    (typed("bfloat16", 1), typed("bool", 0), "bfloat16"),
    (typed("float16", 1), typed("float32", 0), "float32"),
    (typed("float16", 1), typed("bfloat16", 0), "float32"),
]


@pytest.mark.parametrize(("one", "other", "expected"), CASES)
def test_the_widest_type_of_the_typed_tensors_is_taken(client: InProcess, one: Any, other: Any, expected: str) -> None:
    answer = client.answer("mse_loss", input=one, target=other, encoding="base64")
    assert answer["dtype"] == expected
    assert answer["gradients"]["input"]["dtype"] == expected


def test_a_cotangents_type_counts(client: InProcess) -> None:
    answer = client.answer("mse_loss", input=[1.0], target=[0.0], reduction="none", cotangent=typed("float64", 2))
    assert (answer["dtype"], answer["gradients"]["input"]) == ("float64", [4.0])


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_a_named_type_wins(client: InProcess, dtype: str) -> None:
    answer = client.answer("mse_loss", input=typed("float64", 0.1), target=typed("float16", 0), dtype=dtype)
    assert answer["dtype"] == dtype
    # 0.1 in each type, squared and rounded to it again.
    squares = {"float64": 0.010000000000000002, "float32": 0.010000001, "float16": 0.009994507, "bfloat16": 0.010009766}
    assert answer["loss"] == squares[dtype]


@pytest.mark.parametrize("dtype", ["int64", "float", "float128", "FLOAT32", 32, ["float32"]])
def test_another_type_is_refused(client: InProcess, dtype: Any) -> None:
    assert list(client.faults("mse_loss", input=[1.0], target=[0.0], dtype=dtype)) == ["/dtype"]


def test_no_gradients_are_computed_where_none_are_asked_for(client: InProcess) -> None:
    answer = client.answer("mse_loss", input=[3.0], target=[1.0], gradients=[])
    assert (answer["loss"], answer["gradients"]) == (4.0, {})


def test_gradients_come_in_the_order_in_which_they_are_asked_for(client: InProcess) -> None:
    request = {"input": [3.0], "target": [1.0], "weight": [2.0]}
    answer = client.answer("mse_loss", **request, gradients=["weight", "target", "input"], reduction="sum")
    assert list(answer["gradients"].items()) == [("weight", [4.0]), ("target", [-8.0]), ("input", [8.0])]


@pytest.mark.parametrize(
    ("reduction", "cotangent", "gradient"),
    [
        ("none", [2.0, -1.0], [4.0, -4.0]),
        ("sum", 3.0, [6.0, 12.0]),
        ("mean", -1.0, [-1.0, -2.0]),
        ("mean", "NaN", ["NaN"] * 2),
    ],
)
def test_gradients_are_products_with_the_cotangent(
    client: InProcess, reduction: str, cotangent: Any, gradient: list[Any]
) -> None:
    answer = client.answer("mse_loss", input=[1.0, 2.0], target=[0.0, 0.0], reduction=reduction, cotangent=cotangent)
    assert answer["gradients"]["input"] == gradient


LEGACY = [
    ({"size_average": True}, "mean"),
    ({"size_average": False}, "sum"),
    ({"reduce": False}, "none"),
    ({"reduce": True}, "mean"),
    ({"size_average": False, "reduce": True}, "sum"),
    ({"size_average": True, "reduce": False}, "none"),
    ({"size_average": False, "reduce": False}, "none"),
]


@pytest.mark.parametrize(("members", "reduction"), LEGACY)
@pytest.mark.parametrize("given", ["mean", "sum", "none"])
def test_legacy_members_override_the_reduction_with_a_warning(
    client: InProcess, members: dict[str, bool], reduction: str, given: str
) -> None:
    request = {"input": [1.0, 2.0], "target": [0.0, 0.0]}
    answer = client.answer("mse_loss", **request, **members, reduction=given)
    plain = client.answer("mse_loss", **request, reduction=reduction)
    assert answer | {"warnings": []} == plain
    assert [warning.split(" ")[0] for warning in answer["warnings"]] == list(members)
    assert plain["warnings"] == []


@pytest.mark.parametrize("value", [0, 1, "true", "mean"])
@pytest.mark.parametrize("member", ["size_average", "reduce"])
def test_legacy_members_are_booleans(client: InProcess, member: str, value: Any) -> None:
    assert list(client.faults("mse_loss", input=[1.0], target=[0.0], **{member: value})) == [f"/{member}"]


def test_answers_of_parts_combine_to_the_answer_of_the_whole(client: InProcess) -> None:
    parts = [([[2.0, 0.5], [0.1, 0.2]], [0, -100]), ([[1.0, -1.0], [0.3, 0.4], [0.0, 2.0]], [1, 0, 1])]
    weight = [3.0, 0.5]
    sums = [
        client.answer("cross_entropy", input=x, target=y, weight=weight, reduction="sum", dtype="float64")
        for x, y in parts
    ]
    whole = client.answer(
        "cross_entropy",
        input=parts[0][0] + parts[1][0],
        target=parts[0][1] + parts[1][1],
        weight=weight,
        dtype="float64",
    )
    combined = sum(part["loss"] for part in sums) / sum(part["divisor"] for part in sums)
    assert whole["loss"] == pytest.approx(combined, rel=1e-12)


def test_the_example_of_the_contract_is_answered(client: InProcess) -> None:
    response = client.post(
        b'{"loss": "cross_entropy", "input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], "target": [0, 2],'
        b' "weight": [1.0, 2.0, 0.5], "ignore_index": -100, "label_smoothing": 0.0, "reduction": "mean"}'
    )
    answer = strict(response.content)
    assert answer["loss"] == pytest.approx(0.494855, abs=1e-6)
    expected = [[-0.142935, 0.11686, 0.026075], [0.100203, 0.110742, -0.210945]]
    assert [pytest.approx(row, abs=1e-6) for row in expected] == answer["gradients"]["input"]
    assert list(answer) == ["loss", "gradients", "reduction", "divisor", "count", "ignored", "dtype", "warnings"]
    rest = {name: answer[name] for name in list(answer)[2:]}
    assert rest == {
        "reduction": "mean",
        "divisor": 1.5,
        "count": 2,
        "ignored": 0,
        "dtype": "float32",
        "warnings": [],
    }
