"""Values that a loss is not defined for are refused where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.losses import LOSSES
from tests.schemas.refusing import faults

DEVIANT = [
    (-1.0, {"input": [1.0, 0.0], "target": [-3.0, 0.0]}, {"/input/1": "0.0 is not positive"}),
    (1.0, {"input": [1.0, -2.0], "target": [0.0, 1.0]}, {"/input/1": "-2.0 is not positive"}),
    (1.5, {"input": [1.0, 2.0], "target": [-1.0, 0.0]}, {"/target/0": "-1.0 is negative"}),
    (2.0, {"input": [1.0, 2.0], "target": [1.0, 0.0]}, {"/target/1": "0.0 is not positive"}),
    (3.0, {"input": [0.0, 2.0], "target": [1.0, -1.0]}, {"/input/0", "/target/1"}),
]


@pytest.mark.parametrize(("power", "members", "expected"), DEVIANT)
def test_a_deviance_is_refused_outside_its_domain(power: float, members: dict[str, Any], expected: Any) -> None:
    found = faults("tweedie_deviance_loss", power=power, **members)
    assert found == expected if isinstance(expected, dict) else set(found) == expected
    if power == 2:
        assert faults("gamma_deviance_loss", **members) == expected


def test_the_logarithm_of_a_mean_may_be_any_number_and_a_normal_mean_too() -> None:
    for members in ({"power": 1.5, "log_input": True, "target": [0.0, 1.0]}, {"power": 0.0, "target": [-1.0, 1.0]}):
        request = LOSSES["tweedie_deviance_loss"].model_validate({"input": [-3.0, 0.0], **members})
        assert request.checked.count == 2


def test_a_mean_that_rounds_to_0_in_its_type_is_0() -> None:
    members = {"input": [1e-9], "target": [1.0]}
    assert LOSSES["gamma_deviance_loss"].model_validate(members).checked.count == 1
    assert list(faults("gamma_deviance_loss", **members, dtype="float16")) == ["/input/0"]


@pytest.mark.parametrize("power", [0.5, 1e-9, 0.999])
def test_powers_of_no_tweedie_distribution_are_refused(power: float) -> None:
    found = faults("tweedie_deviance_loss", input=[1.0], target=[1.0], power=power)
    assert found == {"/power": "no Tweedie distribution has a power between 0 and 1"}


OPTIONS = [
    ("charbonnier_loss", {"eps": 0.0}),
    ("wing_loss", {"width": 0.0}),
    ("wing_loss", {"curvature": -1.0}),
    ("quantile_loss", {"quantile": 1.0}),
    ("sigmoid_focal_loss", {"alpha": 1.5}),
    ("sigmoid_focal_loss", {"gamma": -1.0}),
    ("asymmetric_loss", {"gamma_neg": -1.0}),
    ("asymmetric_loss", {"gamma_pos": -1.0}),
    ("asymmetric_loss", {"clip": 1.0}),
    ("asymmetric_loss", {"eps": -1e-9}),
    ("focal_loss", {"gamma": -0.5}),
    ("iou_loss", {"eps": -1e-9}),
    ("z_loss", {"coefficient": -1e-4}),
    ("next_token_cross_entropy", {"z_loss": -1e-4}),
    ("next_token_cross_entropy", {"label_smoothing": 1.5}),
]


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=str)
def test_options_out_of_bounds_are_refused(name: str, option: dict[str, float]) -> None:
    example = {member: value for member, value in LOSSES[name].about.example.items() if member not in option}
    assert list(faults(name, **example, **option)) == [f"/{next(iter(option))}"]


def test_class_targets_of_focal_losses_are_checked() -> None:
    logits = np.zeros((2, 3))
    for name in ("focal_loss", "poly1_cross_entropy"):
        assert list(faults(name, input=logits, target=[0, 3])) == ["/target/1"]
    assert list(faults("focal_loss", input=logits, target=[0, 1], weight=[1.0, 1.0])) == ["/weight"]
    assert list(faults("focal_loss", input=logits, target=[0, 1], weight=np.ones(3), gradients=["weight"])) == [
        "/gradients/0"
    ]
    soft = {"input": logits, "target": np.full((2, 3), 1 / 3)}
    assert list(faults("poly1_cross_entropy", **soft, ignore_index=0)) == ["/ignore_index"]


def test_a_z_loss_mask_holds_zeros_and_ones() -> None:
    assert list(faults("z_loss", input=np.zeros((2, 3)), mask=[1, 2])) == ["/mask/1"]
