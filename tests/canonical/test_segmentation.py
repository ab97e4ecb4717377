"""Segmentation losses are those of segmentation_models_pytorch, and of Berman's lovasz_losses.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device

CPU = open_device("cpu")
RNG = np.random.default_rng(20_273)
LOGITS = RNG.normal(0, 2, (3, 4, 8, 6)).astype(np.float32)
CLASSES = RNG.integers(0, 3, (3, 8, 6))  # the last class is absent
BITS = RNG.integers(0, 2, (3, 4, 8, 6))
VOID = RNG.random((3, 8, 6)) < 0.2

MODES = ["binary", "multiclass", "multilabel"]


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate(members)], CPU)[0]


def of_mode(mode: str) -> tuple[Any, Any]:
    """Logits and targets, some of them 255."""
    if mode == "binary":
        return LOGITS[:, 0], np.where(VOID, 255, BITS[:, 0])
    if mode == "multiclass":
        return LOGITS, np.where(VOID, 255, CLASSES)
    return LOGITS, np.where(VOID[:, None], 255, BITS)


def scores(x: Tensor, y: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """losses/dice.py, DiceLoss.forward up to the score: probabilities and truth, N C P, 0 where y is 255."""
    rows = len(x)
    classes = 1 if mode == "binary" else x.shape[1]
    p = x.log_softmax(1).exp() if mode == "multiclass" else F.logsigmoid(x).exp()
    p, y = p.reshape(rows, classes, -1), y.reshape(rows, -1) if mode == "multiclass" else y.reshape(rows, classes, -1)
    mask = y != 255
    if mode == "multiclass":
        hot = F.one_hot(y * mask, classes).permute(0, 2, 1) * mask.unsqueeze(1)
        return p * mask.unsqueeze(1), hot.double()
    return p * mask, (y * mask).double()


def expected(name: str, x: Tensor, y: Tensor, mode: str, options: dict[str, float], log: bool) -> Tensor:
    """losses/_functional.py, soft_dice_score, soft_jaccard_score and soft_tversky_score; the loss of each class."""
    p, t = scores(x, y, mode)
    smooth, dims = options.get("smooth", 0.0), (0, 2)
    both, either = (p * t).sum(dims), (p + t).sum(dims)
    if name == "dice_loss":
        score = (2 * both + smooth) / (either + smooth).clamp_min(1e-7)
    elif name == "jaccard_loss":
        score = (both + smooth) / (either - both + smooth).clamp_min(1e-7)
    else:
        fp, fn = (p * (1 - t)).sum(dims), ((1 - p) * t).sum(dims)
        below = both + options.get("alpha", 0.5) * fp + options.get("beta", 0.5) * fn + smooth
        score = (both + smooth) / below.clamp_min(1e-7)
    loss = -torch.log(score.clamp_min(1e-7)) if log else 1 - score
    return loss * (t.sum(dims) > 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dice_loss", {}),
        ("dice_loss", {"smooth": 3.0}),
        ("jaccard_loss", {}),
        ("jaccard_loss", {"smooth": 3.0}),
        ("tversky_loss", {}),
        ("tversky_loss", {"alpha": 0.3, "beta": 0.7, "smooth": 0.5}),
    ],
)
def test_overlaps_are_segmentation_models_pytorchs(name: str, options: dict[str, float], log: bool, mode: str) -> None:
    logits, target = of_mode(mode)
    x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    loss = expected(name, x, torch.tensor(target), mode, options, log).mean()
    (gradient,) = torch.autograd.grad(loss, x)
    found = answer(name, input=logits, target=target, mode=mode, ignore_index=255, log_loss=log, **options)
    np.testing.assert_allclose(found.loss, loss.item(), rtol=1e-6)
    np.testing.assert_allclose(found.gradients["input"], gradient, rtol=1e-4, atol=1e-8)


def test_focal_tversky_loss_is_segmentation_models_pytorchs_where_there_is_one_value() -> None:
    # losses/tversky.py, TverskyLoss.aggregate_loss
    logits, target = of_mode("binary")
    options = {"alpha": 0.3, "beta": 0.7}
    x = torch.tensor(logits, dtype=torch.float64)
    loss = expected("tversky_loss", x, torch.tensor(target), "binary", options, log=False).mean() ** (4 / 3)
    members: dict[str, Any] = {"input": logits, "target": target, "mode": "binary", "ignore_index": 255}
    found = answer("focal_tversky_loss", gamma=4 / 3, **members, **options)
    np.testing.assert_allclose(found.loss, loss.item(), rtol=1e-6)


def test_focal_tversky_loss_is_its_authors_for_each_class() -> None:
    # nabsabraham/focal-tversky-unet, losses.py, focal_tversky: a power of 3/4 of one minus the index
    logits, target = of_mode("multiclass")
    x = torch.tensor(logits, dtype=torch.float64)
    each = expected("tversky_loss", x, torch.tensor(target), "multiclass", {"alpha": 0.3, "beta": 0.7}, log=False)
    found = answer(
        "focal_tversky_loss",
        input=logits, target=target, mode="multiclass", ignore_index=255, alpha=0.3, beta=0.7, reduction="none",
    )  # fmt: skip
    np.testing.assert_allclose(found.loss, each**0.75, rtol=1e-6)


def lovasz_grad(truth: Tensor) -> Tensor:
    """pytorch/lovasz_losses.py, lovasz_grad."""
    total = truth.sum()
    jaccard = 1 - (total - truth.cumsum(0)) / (total + (1 - truth).cumsum(0))
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])


def lovasz_flat(errors: Tensor, truth: Tensor) -> Tensor:
    """The product that lovasz_hinge_flat and lovasz_softmax_flat end in."""
    ordered, order = torch.sort(errors, descending=True)
    return torch.dot(ordered, lovasz_grad(truth[order]))


@pytest.mark.parametrize("per_image", [True, False])
def test_lovasz_hinge_loss_is_bermans(per_image: bool) -> None:
    logits, target = of_mode("binary")
    x, y = torch.tensor(logits, dtype=torch.float64, requires_grad=True), torch.tensor(target)
    parts = list(zip(x, y, strict=True)) if per_image else [(x, y)]
    losses = []
    for scores_of, labels in parts:
        kept, truth = scores_of[labels != 255], labels[labels != 255].double()
        losses.append(lovasz_flat(F.relu(1 - kept * (2 * truth - 1)), truth))
    loss = torch.stack(losses).mean()
    (gradient,) = torch.autograd.grad(loss, x)
    found = answer("lovasz_hinge_loss", input=logits, target=target, ignore_index=255, per_image=per_image)
    np.testing.assert_allclose(found.loss, loss.item(), rtol=1e-6)
    np.testing.assert_allclose(found.gradients["input"], gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("classes", ["present", "all"])
@pytest.mark.parametrize("per_image", [True, False])
def test_lovasz_softmax_loss_is_bermans(per_image: bool, classes: str) -> None:
    logits, target = of_mode("multiclass")
    x, y = torch.tensor(logits, dtype=torch.float64, requires_grad=True), torch.tensor(target)
    p = F.softmax(x, 1)
    parts = [(p[at : at + 1], y[at : at + 1]) for at in range(3)] if per_image else [(p, y)]
    losses = []
    for probabilities, labels in parts:
        kept = probabilities.permute(0, 2, 3, 1)[labels != 255]
        truths = [(labels[labels != 255] == c).double() for c in range(4)]
        each = [
            lovasz_flat((truth - kept[:, c]).abs(), truth)
            for c, truth in enumerate(truths)
            if classes == "all" or truth.sum() > 0
        ]
        losses.append(torch.stack(each).mean())
    loss = torch.stack(losses).mean()
    (gradient,) = torch.autograd.grad(loss, x)
    found = answer(
        "lovasz_softmax_loss", input=logits, target=target, ignore_index=255, per_image=per_image, classes=classes
    )
    np.testing.assert_allclose(found.loss, loss.item(), rtol=1e-6)
    np.testing.assert_allclose(found.gradients["input"], gradient, rtol=1e-4, atol=1e-8)
