"""Many cotangents in one request: every product is to the bit that of the same request with the one cotangent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from schemas.dtype import FLOATING
from schemas.footprint import footprint
from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import batch, compute, open_device
from service.compute.transfer import Device
from tests.contract.answers import Request, bits, parse
from tests.losses.cases import case

FEW = settings(max_examples=5, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def device() -> Device:
    return open_device("cpu")


def answer(request: Request, device: Device) -> LossResult:
    (found,) = compute([parse(request)], device)
    return found


def several(request: Request, times: int, seed: int) -> tuple[Request, np.ndarray[Any, Any]]:
    """The same request without a cotangent, and so many cotangents for it."""
    plain = {name: value for name, value in request.items() if name != "cotangent"}
    checked = parse(plain).checked
    shape = checked.layout.unreduced if checked.reduction == "none" else ()
    made = np.random.default_rng(seed).normal(size=(times, *shape))
    return plain, made.astype(FLOATING[checked.dtype])


@pytest.mark.parametrize("name", LOSSES)
@FEW
@given(data=st.data(), times=st.sampled_from((1, 2, 3, 7)), seed=st.integers(0, 2**32 - 1))
def test_each_of_many_is_to_the_bit_what_it_is_alone(
    name: str, data: DataObject, times: int, seed: int, device: Device
) -> None:
    plain, cotangents = several(data.draw(case(name)), times, seed)
    many = answer({**plain, "cotangents": cotangents}, device)
    assert many.gradients.keys() == answer(plain, device).gradients.keys()
    for at in range(times):
        own = LossResult(**{
            field: getattr(many, field)
            for field in ("loss", "reduction", "divisor", "count", "ignored", "dtype", "warnings", "extras")
        }, gradients={name: gradient[at] for name, gradient in many.gradients.items()})  # fmt: skip
        assert bits(own) == bits(answer({**plain, "cotangent": np.asarray(cotangents[at])}, device))


@pytest.mark.parametrize("times", [0, 1, 5])
@pytest.mark.parametrize("name", LOSSES)
def test_there_is_one_forward_pass_however_many_there_are(
    name: str, times: int, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a composite, one for each of its terms."""
    request: Request = {"loss": name, **LOSSES[name].about.example, "reduction": "sum"}
    passes = {"forward": 0, "backward": 0}

    def counted(step: str) -> None:
        real = getattr(batch, step)

        def count(*args: Any, **named: Any) -> Any:
            passes["forward" if step == "evaluate" else "backward"] += 1
            return real(*args, **named)

        monkeypatch.setattr(batch, step, count)

    counted("evaluate")
    counted("backward")
    found = answer({**request, "cotangents": np.arange(times, dtype=np.float32)}, device)
    parts = len(request["terms"]) if name == "composite" else 1
    assert passes == {"forward": parts, "backward": times * parts if found.gradients else 0}


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("name", LOSSES)
def test_none_at_all_answer_empty_products(name: str, reduction: str, device: Device) -> None:
    request = {"loss": name, **LOSSES[name].about.example, "reduction": reduction, "cotangents": []}
    plain = answer({key: value for key, value in request.items() if key != "cotangents"}, device)
    found = answer(request, device)
    assert found.loss.tobytes() == plain.loss.tobytes()
    shapes = {tensor: gradient.shape for tensor, gradient in found.gradients.items()}
    assert shapes == {tensor: (0, *gradient.shape) for tensor, gradient in plain.gradients.items()}


@pytest.mark.parametrize("name", LOSSES)
def test_a_request_with_many_is_never_stacked(name: str) -> None:
    assert parse({"loss": name, **LOSSES[name].about.example, "cotangents": [1.0, 2.0]}).checked.key is None


def test_the_answer_of_many_counts_in_the_footprint_and_in_the_turn() -> None:
    pair = {"loss": "mse_loss", "input": np.zeros(1000, np.float32), "target": np.zeros(1000, np.float32)}
    one, many = parse(pair), parse({**pair, "cotangents": np.zeros(50, np.float32)})
    assert footprint(many).numbers == 1 + 50 * 1000
    assert footprint(many).answer == 4 * footprint(many).numbers
    assert footprint(many).work >= footprint(one).work
    least = 50 * many.least_work(many.checked)
    assert many.checked.layout.elements == max(one.checked.layout.elements + 50 + 50 * 1000, least)
