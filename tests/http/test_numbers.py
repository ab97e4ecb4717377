"""Numbers in JSON: ragged lists, whole numbers to the last of 64 bits; in short bodies and in large ones."""

from __future__ import annotations

import pytest

from tests.asgi import InProcess

ROWS = [2, 1000]
"""Rows of two: a short body, and one for the reader of large bodies."""
BIG = 2**53 + 1
"""No float64 is this number."""


@pytest.mark.parametrize("rows", ROWS)
def test_a_ragged_row_is_named_by_its_index(client: InProcess, rows: int) -> None:
    lists = [[0.5, 1.5]] * rows
    faults = client.faults("mse_loss", input=[*lists, [0.5]], target=[*lists, [0.5, 1.5]])
    assert faults[f"/input/{rows}"] == "ragged: 1 elements here, 2 in the rows before"
    faults = client.faults("mse_loss", input=[*lists, 0.5], target=[*lists, [0.5, 1.5]])
    assert faults[f"/input/{rows}"] == "ragged: 0.5 here, a list of 2 in the rows before"


@pytest.mark.parametrize("rows", ROWS)
def test_a_class_index_is_told_to_its_last_digit(client: InProcess, rows: int) -> None:
    lists = [[0.5, 1.5]] * (rows + 1)
    for index in (BIG, 2**63 - 1, -(2**63)):
        faults = client.faults("cross_entropy", input=lists, target=[*[0] * rows, index])
        assert faults[f"/target/{rows}"] == f"class index {index} is outside [0, 2)"


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("ignored", [BIG, 2**63 - 1, -(2**63)])
def test_ignore_index_is_compared_to_its_last_bit(client: InProcess, rows: int, ignored: int) -> None:
    lists = [[0.5, 1.5]] * (rows + 1)
    answer = client.answer("cross_entropy", input=lists, target=[*[0] * rows, ignored], ignore_index=ignored)
    assert answer["ignored"] == 1
    near = ignored - 1 if ignored > 0 else ignored + 1
    assert f"/target/{rows}" in client.faults(
        "cross_entropy", input=lists, target=[*[0] * rows, near], ignore_index=ignored
    )


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("index", [2**63, 2**64 - 1, 2**64, -(2**63) - 1])
def test_whole_numbers_of_more_than_64_bits_are_no_class_indices(client: InProcess, rows: int, index: int) -> None:
    lists = [[0.5, 1.5]] * (rows + 1)
    faults = client.faults("cross_entropy", input=lists, target=[*[0] * rows, index])
    assert "is no whole number of 64 bits" in faults[f"/target/{rows}"]
    faults = client.faults("cross_entropy", input=lists, target=[0] * (rows + 1), ignore_index=index)
    assert "/ignore_index" in faults


@pytest.mark.parametrize("rows", ROWS)
def test_whole_numbers_of_more_than_53_bits_are_exact_in_a_typed_list(client: InProcess, rows: int) -> None:
    target = {"dtype": "int64", "shape": [rows + 1], "data": [*[0] * rows, BIG]}
    faults = client.faults("cross_entropy", input=[[0.5, 1.5]] * (rows + 1), target=target)
    assert faults[f"/target/{rows}"] == f"class index {BIG} is outside [0, 2)"
