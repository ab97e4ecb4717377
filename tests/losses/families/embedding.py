"""Requests of the embedding losses."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st

from tests.losses.draw import Draw, Shape

Request = dict[str, Any]


def cosine(d: Draw) -> Request:
    features = d.width("D")
    batch: Shape = () if d.own(st.integers(0, 3)) == 0 else (d.size(),)
    return {
        "input1": d.floats((*batch, features)),
        "input2": d.floats((*batch, features)),
        "target": d.signs(batch),
        **d.option("margin", 0.25, -0.5),
        "_": batch,
    }


def _triplets(d: Draw) -> Request:
    shape = (*d.shape(2), d.width("D"))
    return {
        "anchor": d.floats(shape),
        "positive": d.floats(shape),
        "negative": d.floats(shape),
        **d.option("margin", 0.5, 3.0),
        **d.option("swap", True),
        "_": shape[:-1],
    }


def triplet(d: Draw) -> Request:
    return {**_triplets(d), **d.option("p", 1.0, 2.0, 3.0, 1.5, float("inf")), **d.option("eps", 1e-3)}


def triplet_with_distance(d: Draw) -> Request:
    distances = ("euclidean", "squared_euclidean", "manhattan", "chebyshev", "cosine")
    return {**_triplets(d), **d.option("distance", *distances)}


BUILDERS = {
    "cosine_embedding_loss": cosine,
    "triplet_margin_loss": triplet,
    "triplet_margin_with_distance_loss": triplet_with_distance,
}
