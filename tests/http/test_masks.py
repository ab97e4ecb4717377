"""Masks: what takes part, as booleans or as 0 and 1."""

from __future__ import annotations

from typing import Any

import pytest

from tests.asgi import InProcess

LOGITS = [[1.0, -2.0], [0.5, 0.25]]


@pytest.mark.parametrize("times", [1, 4000])
@pytest.mark.parametrize("mask", [[True, False], [1, 0]])
def test_a_mask_is_booleans_or_whole_numbers(client: InProcess, mask: list[Any], times: int) -> None:
    found = client.answer("z_loss", input=LOGITS * times, mask=mask * times, gradients=[], reduction="sum")
    kept = client.answer("z_loss", input=LOGITS[:1] * times, gradients=[], reduction="sum")
    assert (found["count"], found["ignored"]) == (times, times)
    assert found["loss"] == pytest.approx(kept["loss"], rel=1e-5)


@pytest.mark.parametrize(
    "mask", [[True, 0], [True], [[True, False]], [[True], [True, False]], [2, 0], [1.0, 0.0], [None]]
)
def test_what_is_no_mask_is_refused(client: InProcess, mask: list[Any]) -> None:
    assert all(where.startswith("/mask") for where in client.faults("z_loss", input=LOGITS, mask=mask))


def test_booleans_are_no_numbers_elsewhere(client: InProcess) -> None:
    assert list(client.faults("z_loss", input=[[True, False]])) == ["/input/0/0"]
