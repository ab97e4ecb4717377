"""Requests of CTC and of the losses that come with their layer."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np

from tests.losses.draw import Draw, Shape
from tests.losses.families.plain import indices

Request = dict[str, Any]
SMALL = (-0.5, 0.5)
"""Scores of a few: the half types would blur larger ones, and with them their softmax."""


def linear_cross_entropy(d: Draw) -> Request:
    features, classes = d.width("F"), d.width("C")
    unbatched = d.own(st.integers(0, 3)) == 0
    inner: Shape = () if unbatched else d.own(st.sampled_from(((), (2,), (1, 3))))
    batch: Shape = () if unbatched else (d.size(1),)
    request: Request = {
        "input": d.floats((*batch, features), *SMALL),
        "linear_weight": d.floats((classes, *inner, features), *SMALL),
        **d.maybe("linear_bias", d.floats((classes, *inner), *SMALL)),
        **d.maybe("weight", d.floats((classes,), 0.25, 2)),
        "_": (*batch, *inner),
    }
    if d.own(st.integers(0, 2)) == 0:
        target = d.unit((*batch, classes, *inner))
        return {**request, **d.option("label_smoothing", 0.1), "target": target}
    ignore = d.option("ignore_index", 0, -1)
    request |= {**ignore, "target": indices(d, (*batch, *inner), classes, ignore)}
    if inner:
        return request | d.option("label_smoothing", 0.1)
    return request | (d.option("chunk_size", 1, 4, 100) or d.option("label_smoothing", 0.1))


def adaptive(d: Draw) -> Request:
    features = d.own(st.sampled_from((8, 16)))
    cutoffs = d.own(st.sampled_from(([2], [1, 3], [2, 4, 9])))
    classes = cutoffs[-1] + d.own(st.sampled_from((1, 4)))
    batch: Shape = () if d.own(st.integers(0, 3)) == 0 else (d.size(1),)
    head = cutoffs[0] + len(cutoffs)
    bounds = [*cutoffs, classes]
    tail = []
    for at in range(len(cutoffs)):
        projected = features // 2 ** (at + 1)
        tail.append(
            {
                "projection": d.floats((projected, features), *SMALL),
                "output": d.floats((bounds[at + 1] - bounds[at], projected), *SMALL),
            }
        )
    return {
        "input": d.floats((*batch, features), *SMALL),
        "target": d.integers(batch, 0, classes),
        "head_weight": d.floats((head, features), *SMALL),
        **d.maybe("head_bias", d.floats((head,), *SMALL)),
        "tail": tail,
        "cutoffs": cutoffs,
        "div_value": 2.0,
        "_": batch,
    }


def ctc(d: Draw) -> Request:
    frames, classes = d.own(st.sampled_from((4, 1, 9))), d.width("C", 2)
    blank = d.same("blank", st.sampled_from((0, 1)))
    longest = d.own(st.sampled_from((3, 1, 5, 0)))
    unbatched = d.own(st.integers(0, 3)) == 0
    batch: Shape = () if unbatched else (d.size(1),)
    labels = d.rng.choice([label for label in range(classes) if label != blank], (*batch, longest))
    target_lengths = d.rng.integers(0, longest + 1, batch)
    if unbatched:
        labels = labels[:target_lengths]
    elif d.flag():
        labels = np.concatenate([row[:length] for row, length in zip(labels, target_lengths, strict=True)])
    return {
        "log_probs": d.log_softmax((frames, *batch, classes), -1),
        "targets": np.asarray(labels),
        "input_lengths": np.asarray(d.rng.integers(1, frames + 1, batch)),
        "target_lengths": np.asarray(target_lengths),
        "blank": blank,
        **d.option("zero_infinity", True),
        "_": batch,
    }


BUILDERS = {
    "linear_cross_entropy": linear_cross_entropy,
    "adaptive_log_softmax_with_loss": adaptive,
    "ctc_loss": ctc,
}
