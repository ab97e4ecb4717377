"""Causes that lie in the formula: a softmax or a logarithm too many, or one too few."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from schemas.losses import LOSSES
from schemas.problem import InvalidRequest
from schemas.request import LossRequest
from schemas.tensor import Reading
from schemas.tensor import Tensor as Member
from service.compute.checking.case import Answer, Case
from service.compute.checking.causes import Found, cause
from service.compute.objective import terms_of
from service.losses import Tensors, Terms

FROM_LOGITS = frozenset(("cross_entropy", "multi_class_focal_loss", "poly1_cross_entropy"))
FROM_SCORES = frozenset(("binary_cross_entropy_with_logits", "multilabel_soft_margin_loss", "sigmoid_focal_loss"))
FROM_LOG_PROBABILITIES = frozenset(("nll_loss", "kl_div"))


def class_dim(x: torch.Tensor) -> int:
    """Where the classes are: second, or alone."""
    return 1 if x.dim() > 1 else 0


def _through(case: Case, change: Callable[[torch.Tensor], torch.Tensor]) -> Found:
    """The loss of a changed input: with the gradient in the input, and with that in what it is changed to."""
    yield "", case.by(lambda t: terms_of(case.request, {**t, "input": change(t["input"])}))

    def from_changed(t: Tensors) -> Terms:
        x = t["input"]
        # Its value is the changed input's, its gradient passes as it is.
        return terms_of(case.request, {**t, "input": change(x.detach()) + x - x.detach()})

    if "input" in case.request.checked.gradients:
        yield "the gradient does not go through it", case.by(from_changed)


@cause("softmax_twice", "Softmax is applied twice: this loss applies it itself, and takes logits.")
def _(case: Case) -> Found:
    if case.request.name in FROM_LOGITS:
        yield from _through(case, lambda x: torch.softmax(x, class_dim(x)))


@cause("sigmoid_twice", "Sigmoid is applied twice: this loss applies it itself, and takes logits.")
def _(case: Case) -> Found:
    if case.request.name in FROM_SCORES:
        yield from _through(case, torch.sigmoid)


@cause("log_softmax_of_probabilities", "Log-softmax is applied to probabilities, as if these were logits.")
def _(case: Case) -> Found:
    if case.request.name in FROM_LOG_PROBABILITIES:
        yield from _through(case, lambda x: F.log_softmax(x.exp(), class_dim(x)))


@cause("log_missing", "The logarithm is missing: probabilities are used in the place of their logarithms.")
def _(case: Case) -> Found:
    name = case.request.name
    if name == "nll_loss":
        yield from _through(case, torch.exp)
    elif name == "cross_entropy":
        yield "", _as_nll(case, lambda x: torch.softmax(x, class_dim(x)))
    elif name == "kl_div" and not case.request.__dict__["log_target"]:
        yield "of the target", case.by(lambda t: Terms(t["target"] * (t["target"] - t["input"])))
        yield (
            "of the input",
            case.by(lambda t: Terms(torch.xlogy(t["target"], t["target"]) - t["target"] * t["input"].exp())),
        )
    elif name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
        score = torch.sigmoid if name.endswith("logits") else torch.Tensor.clone

        def plain(t: Tensors) -> Terms:
            p, y = score(t["input"]), t["target"]
            values = -(y * p * t.get("pos_weight", 1) + (1 - y) * (1 - p))
            return Terms(values * t["weight"] if "weight" in t else values)

        yield "", case.by(plain)


@cause("log_softmax_left_out", "Log-softmax is left out: logits are used in the place of log-probabilities.")
def _(case: Case) -> Found:
    if case.request.name == "cross_entropy":
        yield "", _as_nll(case, lambda x: x)


def _as_nll(case: Case, change: Callable[[torch.Tensor], torch.Tensor]) -> Answer | None:
    """Negative log likelihood of a changed input, for a cross entropy; `None` where that is not what it is."""
    request = case.request
    checked = request.checked
    if checked.layout.probabilities or request.__dict__["label_smoothing"]:
        return None
    members = {name: Member(array, typed=True) for name, array in checked.tensors.items()}
    options = {"ignore_index": request.__dict__["ignore_index"], "reduction": checked.reduction, "gradients": []}
    try:
        nll: LossRequest = LOSSES["nll_loss"].model_validate(
            {**members, **options}, context=Reading(max_elements=checked.max_elements)
        )
    except InvalidRequest:
        return None
    return case.by(lambda t: terms_of(nll, {**t, "input": change(t["input"])}))
