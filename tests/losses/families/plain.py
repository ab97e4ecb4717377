"""Requests of regression, probability, classification, multi-label and ranking losses."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np

from tests.losses.draw import Array, Draw, Shape

Request = dict[str, Any]


def narrowed(d: Draw, shape: Shape) -> Shape:
    """A shape that broadcasts to the other: some sizes 1, some leading dims gone."""
    kept = tuple(1 if d.own(st.integers(0, 2)) == 0 else size for size in shape)
    return kept[d.own(st.integers(0, len(kept))) :] if d.flag() else kept


def pair(d: Draw) -> Request:
    shape = d.shape()
    return {"input": d.floats(shape), "target": d.floats(shape), "_": shape}


def weighted(d: Draw) -> Request:
    request = pair(d)
    return {**request, **d.maybe("weight", d.floats(request["_"], 0.25, 2))}


def smooth_l1(d: Draw) -> Request:
    return {**pair(d), **d.option("beta", 1.0, 0.25, 2.0, 0.0)}


def huber(d: Draw) -> Request:
    return {**weighted(d), **d.option("delta", 0.25, 2.0)}


def poisson(d: Draw) -> Request:
    shape = d.shape()
    log_input = d.same("log_input", st.sampled_from((True, False)))
    low = -2.0 if log_input else 0.0
    options = {**d.option("full", True, False), **d.option("eps", 1e-3, 1e-8)}
    target = d.typed(d.rng.integers(0, 6, shape))
    return {"input": d.floats(shape, low), "target": target, "log_input": log_input, **options, "_": shape}


def gaussian(d: Draw) -> Request:
    shape = d.shape()
    forms: list[Shape] = [shape, ()]
    if shape:
        forms += [shape[:-1], (*shape[:-1], 1)]
    # In float16 the square over a tiny variance overflows before it is halved, here as in torch.
    var = d.floats(d.own(st.sampled_from(forms)), 0.25 if d.dtype == "float16" else 0, 2)
    kept = tuple(1 if d.own(st.integers(0, 3)) == 0 else size for size in shape)
    options = {**d.option("full", True), **d.option("eps", 0.5, 1e-3)}
    return {"input": d.floats(shape), "target": d.floats(kept), "var": var, **options, "_": shape}


def bce(d: Draw) -> Request:
    shape = d.shape()
    return {
        "input": d.unit(shape),
        "target": d.unit(shape),
        **d.maybe("weight", d.floats(narrowed(d, shape), 0, 2)),
        "_": shape,
    }


def bce_with_logits(d: Draw) -> Request:
    request = pair(d)
    shape = request["_"]
    request["target"] = d.unit(shape)
    request |= d.maybe("weight", d.floats(narrowed(d, shape), 0, 2))
    return request | d.maybe("pos_weight", d.floats(narrowed(d, shape), 0, 3))


def kl_div(d: Draw) -> Request:
    shape = d.shape()
    logarithmic = d.option("log_target", True, False)
    target = d.floats(shape, -2, 0) if logarithmic.get("log_target") else d.unit(shape)
    return {"input": d.floats(shape, -2, 0), "target": target, **logarithmic, "_": shape}


def signed(d: Draw) -> Request:
    shape = d.shape()
    return {"input": d.floats(shape), "target": d.signs(shape), "_": shape}


def hinge_embedding(d: Draw) -> Request:
    return {**signed(d), **d.option("margin", 0.5, 2.0)}


def margin_ranking(d: Draw) -> Request:
    shape = d.shape()
    return {
        "input1": d.floats(shape),
        "input2": d.floats(shape),
        "target": d.signs(shape),
        **d.option("margin", 0.5, -0.25),
        "_": shape,
    }


def indices(d: Draw, shape: Shape, classes: int, ignore: dict[str, Any]) -> Array:
    """Class indices, with now and then one to ignore."""
    found = d.rng.integers(0, classes, shape)
    ignored = d.rng.random(shape) < d.own(st.sampled_from((0.0, 0.3, 1.0)))
    return np.asarray(np.where(ignored, ignore.get("ignore_index", -100), found))


def class_inputs(d: Draw) -> tuple[Shape, Shape, int]:
    """The shapes of logits and of the unreduced loss, and the number of classes: unbatched, batched, K-dimensional."""
    classes = d.width("C")
    inner = d.same("inner", st.sampled_from(((), (2,), (3, 1), (1, 9), (0,))))
    if not inner and d.own(st.integers(0, 3)) == 0:
        return (classes,), (), classes
    rows = d.size()
    return (rows, classes, *inner), (rows, *inner), classes


def nll(d: Draw) -> Request:
    logits, unreduced, classes = class_inputs(d)
    ignore = d.option("ignore_index", 0, -1, 2**40)
    return {
        "input": d.floats(logits, -2, 0),
        "target": indices(d, unreduced, classes, ignore),
        **d.maybe("weight", d.shared("weight", (classes,), 0.25, 2)),
        **ignore,
        "_": unreduced,
    }


def cross_entropy(d: Draw) -> Request:
    logits, unreduced, classes = class_inputs(d)
    request = {"input": d.floats(logits), **d.maybe("weight", d.shared("weight", (classes,), 0.25, 2)), "_": unreduced}
    request |= d.option("label_smoothing", 0.1, 1.0, 0.0)
    if d.flag("probabilities"):
        return {**request, "target": d.unit(logits)}
    ignore = d.option("ignore_index", 0, -1)
    return {**request, "target": indices(d, unreduced, classes, ignore), **ignore}


def multi_margin(d: Draw) -> Request:
    classes = d.width("C")
    batch: Shape = () if d.own(st.integers(0, 3)) == 0 else (d.size(),)
    return {
        "input": d.floats((*batch, classes)),
        "target": d.integers(batch, 0, classes),
        **d.maybe("weight", d.shared("weight", (classes,), 0.25, 2)),
        **d.option("p", 2, 1),
        **d.option("margin", 0.5),
        "_": batch,
    }


def multilabel_margin(d: Draw) -> Request:
    classes = d.width("C")
    batch: Shape = () if d.own(st.integers(0, 3)) == 0 else (d.size(),)
    return {
        "input": d.floats((*batch, classes)),
        "target": d.integers((*batch, classes), -1, classes),
        "_": batch,
    }


def multilabel_soft_margin(d: Draw) -> Request:
    classes = d.width("C")
    batch = d.shape(2)
    target = d.bits((*batch, classes))
    weight = d.maybe("weight", d.shared("weight", (classes,), 0.25, 2))
    return {"input": d.floats((*batch, classes)), "target": target, **weight, "_": batch}


BUILDERS = {
    "l1_loss": weighted,
    "mse_loss": weighted,
    "smooth_l1_loss": smooth_l1,
    "huber_loss": huber,
    "poisson_nll_loss": poisson,
    "gaussian_nll_loss": gaussian,
    "binary_cross_entropy": bce,
    "binary_cross_entropy_with_logits": bce_with_logits,
    "kl_div": kl_div,
    "soft_margin_loss": signed,
    "hinge_embedding_loss": hinge_embedding,
    "margin_ranking_loss": margin_ranking,
    "nll_loss": nll,
    "cross_entropy": cross_entropy,
    "multi_margin_loss": multi_margin,
    "multilabel_margin_loss": multilabel_margin,
    "multilabel_soft_margin_loss": multilabel_soft_margin,
}
