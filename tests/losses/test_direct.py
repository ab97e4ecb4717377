"""Gradients from torch's own kernels have the bits that autograd gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from service.losses import FORMULAS
from tests.contract.answers import bits
from tests.losses.cases import case

CPU = open_device("cpu")
CHECKED = settings(max_examples=80, deadline=None, database=None, suppress_health_check=list(HealthCheck))
WRITTEN = [cls.name for cls, formula in FORMULAS.items() if formula.kernels is not None and not formula.everywhere]


def answer(request: dict[str, Any]) -> LossResult:
    return compute([LOSSES[request["loss"]].model_validate(request)], CPU)[0]


@pytest.mark.parametrize("loss", WRITTEN)
@CHECKED
@given(data=st.data())
def test_kernels_and_autograd_give_the_same_bits(loss: str, data: st.DataObject) -> None:
    request = data.draw(case(loss)) | {"gradients": ["input"]}
    found = answer(request)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(FORMULAS, LOSSES[loss], replace(FORMULAS[LOSSES[loss]], kernels=None))
        expected = answer(request)
    assert bits(found) == bits(expected)


@pytest.mark.parametrize("loss", WRITTEN)
def test_the_kernels_are_what_computes_an_ordinary_request(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_autograd(*_: object, **__: object) -> Any:
        raise AssertionError("autograd was asked")

    monkeypatch.setattr("service.compute.batch.backward_pass", no_autograd)
    answer({"loss": loss, **LOSSES[loss].about.example})
