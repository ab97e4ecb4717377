"""Requests with formulas of the caller's own and with sums of losses, and what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.losses.expression import Expression
from tests.losses.canonical import Options, Reference, Tensors
from tests.losses.draw import Draw
from tests.losses.families.plain import Request, narrowed

HUBER = Expression.about.example["expression"]
FORMULAS: dict[str, Callable[[Tensors, float], Tensor]] = {
    "0.5 * (x - y)**2": lambda t, _: (t["x"] * t["x"] - 2 * t["x"] * t["y"] + t["y"] * t["y"]) / 2,
    "mean(softplus(k * x) - x * y)": lambda t, k: (torch.log1p(torch.exp(k * t["x"])) - t["x"] * t["y"]).mean(),
    "sum(x * sigmoid(y), dim=-1, keepdim=True) / k": lambda t, k: (
        (t["x"] * torch.special.expit(t["y"])).sum(-1, keepdim=True) / k
    ),
    "logsumexp(x + y, dim=-1) - k": lambda t, k: torch.log(torch.exp(t["x"] + t["y"]).sum(-1)) - k,
    "where(x > 0 and not y > 0.5, x * y, k * x + 0)": lambda t, k: (
        t["x"] * torch.where((t["x"] > 0) & (t["y"] <= 0.5), t["y"], torch.full_like(t["y"], k))
    ),
    "-mean(log_softmax(x, -1) * softmax(stop_gradient(y), -1))": lambda t, _: (
        -(F.log_softmax(t["x"], -1) * (t["y"] - torch.logsumexp(t["y"], -1, keepdim=True)).exp().detach()).mean()
    ),
    "exp(-square(x)) + (x < y) * 2 + 1 / (k + y**2)": lambda t, k: (
        torch.exp(-t["x"] * t["x"]) + 2 * (t["x"] < t["y"]).to(t["x"].dtype) + 1 / (k + t["y"] * t["y"])
    ),
    HUBER: lambda t, d: F.huber_loss(t["x"], t["y"], delta=d),
}


def expression(d: Draw) -> Request:
    text = d.own(st.sampled_from([one for one in FORMULAS if one != HUBER]))
    lead = d.shape(2)
    if "mean(" in text and 0 in lead:
        lead = ()  # the mean of nothing is a number, which no element of a tensor makes
    width = d.own(st.sampled_from((1, 2, 5, 17)))
    shape = (*lead, width)
    other = shape if "dim=-1" in text or "stop" in text else narrowed(d, shape)
    x, y = d.floats(shape), d.floats(other)
    request: Request = {"expression": text, "tensors": {"x": x, "y": y}}
    if "k" in text.replace("keepdim", ""):
        request["constants"] = {"k": d.own(st.sampled_from((2.0, 0.5, 3)))}
    found = FORMULAS[text]({"x": torch.zeros(shape), "y": torch.zeros(other)}, 1.0)
    return {**request, "_": tuple(found.shape)}


def formula(t: Tensors, options: Options) -> Tensor:
    """The same, written in torch by hand."""
    return FORMULAS[options["expression"]](t, float(next(iter(options.get("constants", {}).values()), 1.0)))


def composite(d: Draw) -> Request:
    rows, classes = d.size(1), d.width("C", 2)
    tensors: dict[str, Any] = {
        "logits": d.floats((rows, classes)),
        "labels": d.integers((rows,), 0, classes),
        "wanted": d.floats((rows, classes)),
    }
    terms: list[dict[str, Any]] = [
        {"loss": "cross_entropy", "input": "logits", "target": "labels", **d.option("label_smoothing", 0.1)},
        {"loss": "MSELoss", "name": "distance", "input": "logits", "target": "wanted"},
        {"loss": "expression", "expression": "mean(square(logits) * k)", "constants": {"k": 0.5}},
        {"loss": "expression", "expression": "square(a)", "tensors": {"a": "logits"}},
    ]
    chosen = d.own(st.lists(st.sampled_from(terms), min_size=1, max_size=4))
    made = []
    for term in chosen:
        factor, reduction = d.own(st.sampled_from(((1.0, None), (0.25, "mean"), (2, "sum"), (0.5, "sum"))))
        made.append(
            {**term, **({} if factor == 1 else {"factor": factor})} | ({"reduction": reduction} if reduction else {})
        )
    return {"tensors": tensors, "terms": made, "_": ()}


def weighted_sum(t: Tensors, options: Options) -> Tensor:
    """The terms one after the other."""
    total = torch.zeros((), dtype=torch.float64)
    for term in options["terms"]:
        total = total + term.get("factor", 1.0) * _term(term, t)
    return total


def _term(term: dict[str, Any], t: Tensors) -> Tensor:
    reduction = term.get("reduction", "mean")
    if term["loss"] == "cross_entropy":
        smoothing = term.get("label_smoothing", 0.0)
        target = t[term["target"]]
        return F.cross_entropy(t["logits"], target, label_smoothing=smoothing, reduction=reduction)
    if term["loss"] == "MSELoss":
        return F.mse_loss(t["logits"], t["wanted"], reduction=reduction)
    if term["expression"] == "square(a)":
        return F.mse_loss(t["logits"], torch.zeros_like(t["logits"]), reduction=reduction)
    k: float = term["constants"]["k"]
    found: Tensor = (t["logits"] ** 2 * k).mean()
    return found


BUILDERS = {"expression": expression, "composite": composite}
REFERENCES = {"expression": Reference(formula), "composite": Reference(weighted_sum)}
