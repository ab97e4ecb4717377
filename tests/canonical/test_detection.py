"""Losses on boxes are torchvision's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from tests.schemas.refusing import faults

CPU = open_device("cpu")
NAMES = ("iou_loss", "generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss")
LARGE, QUARTER, BESIDE, DIAGONAL = [-1.0, -1, 1, 1], [0.0, 0, 1, 1], [0.0, 1, 1, 2], [1.0, 1, 2, 2]


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate(members)], CPU)[0]


# Figures of torchvision's own tests (test/test_ops.py, TestGeneralizedBoxIouLoss and TestCIOULoss). Squares have equal
# proportions, so that the distance form has the complete one's.
FIGURES = [
    *[(name, LARGE, LARGE, 0.0) for name in NAMES],
    ("generalized_box_iou_loss", LARGE, QUARTER, 0.75),
    ("generalized_box_iou_loss", QUARTER, BESIDE, 1.0),
    ("generalized_box_iou_loss", QUARTER, DIAGONAL, 1.5),
    *[
        (name, LARGE, *figure)
        for name in NAMES[2:]
        for figure in ((QUARTER, 0.8125), (BESIDE, 1.1923), (DIAGONAL, 1.25))
    ],
    ("iou_loss", LARGE, QUARTER, 0.75),
    ("iou_loss", QUARTER, BESIDE, 1.0),
]


@pytest.mark.parametrize(("name", "predicted", "true", "expected"), FIGURES)
def test_figures_are_torchvisions(name: str, predicted: list[float], true: list[float], expected: float) -> None:
    assert answer(name, input=predicted, target=true).loss == pytest.approx(expected, abs=5e-5)
    assert answer(name, input=true, target=predicted).loss == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("name", "mean"), [("generalized_box_iou_loss", 1.25), ("complete_box_iou_loss", 1.225)])
def test_reductions_are_torchvisions(name: str, mean: float) -> None:
    boxes = {"input": [QUARTER, QUARTER], "target": [BESIDE, DIAGONAL]}
    assert answer(name, **boxes).loss == pytest.approx(mean, abs=1e-5)
    assert answer(name, **boxes, reduction="sum").loss == pytest.approx(2 * mean, abs=1e-5)


def torchvisions(name: str, a: torch.Tensor, b: torch.Tensor, eps: float) -> torch.Tensor:
    """torchvision/ops: giou_loss.py, diou_loss.py, ciou_loss.py, from the same edges, areas and centres."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = a.unbind(-1), b.unbind(-1)
    width, height = torch.min(x2, u2) - torch.max(x1, u1), torch.min(y2, v2) - torch.max(y1, v1)
    meeting = torch.where((width > 0) & (height > 0), width * height, 0)
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - meeting
    iou = meeting / (union + eps)
    w, h = torch.max(x2, u2) - torch.min(x1, u1), torch.max(y2, v2) - torch.min(y1, v1)
    if name == "iou_loss":
        return 1 - iou
    if name == "generalized_box_iou_loss":
        return 1 - (iou - (w * h - union) / (w * h + eps))
    distance = ((x1 + x2 - u1 - u2) / 2) ** 2 + ((y1 + y2 - v1 - v2) / 2) ** 2
    loss = 1 - iou + distance / (w**2 + h**2 + eps)
    if name == "distance_box_iou_loss":
        return loss
    v = 4 / math.pi**2 * (torch.atan((u2 - u1) / (v2 - v1)) - torch.atan((x2 - x1) / (y2 - y1))) ** 2
    with torch.no_grad():
        alpha = v / (1 - iou + v + eps)
    return loss + alpha * v


@pytest.mark.parametrize("name", NAMES)
def test_losses_and_gradients_are_torchvisions(name: str) -> None:
    rng = np.random.default_rng(20_266)
    a, b = np.sort(rng.uniform(0, 100, (2, 80, 2, 2)), 2).reshape(2, 80, 4).astype(np.float32)
    true, predicted = torch.tensor(b, dtype=torch.float64), torch.tensor(a, dtype=torch.float64, requires_grad=True)
    expected = torchvisions(name, predicted, true, 1e-7)
    (gradient,) = torch.autograd.grad(expected.sum(), predicted)
    found = answer(name, input=a, target=b, reduction="none")
    np.testing.assert_allclose(found.loss, expected.detach(), rtol=1e-6, atol=2e-7)
    np.testing.assert_allclose(found.gradients["input"], gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_boxes_without_extent_have_finite_losses_and_gradients(name: str) -> None:
    found = answer(
        name, input=[[1.0, 1, 1, 1], [0, 0, 2, 0], [5, 5, 5, 5]], target=[[0.0, 0, 2, 2], [0, 0, 2, 2], [5, 5, 5, 5]]
    )
    assert math.isfinite(found.loss)
    assert np.isfinite(found.gradients["input"]).all()


@pytest.mark.parametrize("name", NAMES)
def test_boxes_that_end_before_they_start_are_refused(name: str) -> None:
    sound = [[0.0, 0, 1, 1], [0, 0, 1, 1]]
    assert faults(name, input=[[0.0, 0, 1, 1], [0, 2, 1, 1]], target=sound) == {"/input/1/3": "y2 is less than y1"}
    assert faults(name, input=sound[0], target=[3.0, 0, 1, 1]) == {"/target/2": "x2 is less than x1"}


@pytest.mark.parametrize("name", NAMES)
def test_boxes_have_four_coordinates(name: str) -> None:
    assert list(faults(name, input=[[0.0, 0, 1]], target=[[0.0, 0, 1]])) == ["/input"]
    assert list(faults(name, input=[[0.0, 0, 1, 1]], target=[[0.0, 0, 1]])) == ["/target"]
