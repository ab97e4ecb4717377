"""Requests of the ranking losses over lists, and what they are."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors
from tests.losses.draw import Array, Draw
from tests.losses.families.plain import Request

Pair = tuple[int, int, float]
"""Two items of a list, and what their pair weighs."""


def scores(d: Draw, shape: tuple[int, int]) -> Array:
    """No two of a list alike: their order must not hang on rounding."""
    rows, items = shape
    ranks = np.array([d.rng.permutation(items) for _ in range(rows)]).reshape(shape)
    return d.typed((ranks - items // 2) / 4)


def lists(d: Draw) -> Request:
    shape = (d.own(st.sampled_from((1, 2, 3, 0, 5))), d.same("L", st.sampled_from((3, 1, 2, 5, 7))))
    target = d.typed(d.rng.integers(0, d.own(st.sampled_from((4, 2, 1))), shape))
    found = {"input": scores(d, shape), "target": target, **d.maybe("mask", d.mask(shape)), "_": shape[:1]}
    if "mask" in found and d.flag():  # what is padded may hold anything
        found["target"] = np.where(found["mask"] != 0, target, d.typed(-1.0))
    return found


def list_net(d: Draw) -> Request:
    request = lists(d)
    return {**request, "target": d.floats(request["target"].shape)}


def rank_net(d: Draw) -> Request:
    weighing = d.option("weighing", "none", "difference", "squared_difference")
    return {**lists(d), **weighing, **d.option("sigma", 0.5, 2.0)}


def lambda_rank(d: Draw) -> Request:
    weighing = d.option("weighing", "lambda_rank", "ndcg_loss1", "ndcg_loss2", "ndcg_loss2pp", "none")
    options = {**d.option("k", 1, 2, 50), **d.option("mu", 0.0, 3.0), **d.option("logarithm", "natural", "binary")}
    return {**lists(d), **weighing, **options, **d.option("sigma", 0.5, 2.0)}


def items_of(t: Tensors, row: int) -> list[int]:
    """The items of a list that are there."""
    count = t["input"].shape[1]
    return [at for at in range(count) if "mask" not in t or bool(t["mask"][row, at])]


def top_one(t: Tensors, _options: Options) -> Tensor:
    """Cao et al. 2007, equations 4 and 5: cross entropy of the top-one probabilities."""
    found = []
    for row in range(len(t["input"])):
        kept = items_of(t, row)
        x, y = t["input"][row, kept], t["target"][row, kept]
        found.append(-(y.exp() / y.exp().sum() * (x.exp() / x.exp().sum()).log()).sum())
    return torch.stack(found) if found else t["input"].sum(1)


def lists_with_items(t: Tensors, _options: Options, unreduced: Tensor) -> tuple[float, int]:
    empty = sum(not items_of(t, row) for row in range(len(unreduced)))
    return float(len(unreduced) - empty), empty


def rank_net_pairs(t: Tensors, options: Options, row: int) -> list[Pair]:
    y = t["target"][row].tolist()
    power = {"none": 0, "difference": 1, "squared_difference": 2}[options.get("weighing", "none")]
    kept = items_of(t, row)
    return [(i, j, abs(y[i] ** power - y[j] ** power) if power else 1.0) for i in kept for j in kept if y[i] > y[j]]


def lambda_rank_pairs(t: Tensors, options: Options, row: int) -> list[Pair]:
    """Wang et al. 2018 in the notation of the LambdaLoss paper: ranks from 1, as allRank truncates them."""
    y, x = t["target"][row].tolist(), t["input"][row].tolist()
    kept = sorted(items_of(t, row), key=lambda item: -x[item])
    k = options.get("k", len(kept))
    rank = {item: at + 1 for at, item in enumerate(kept)}
    best = sorted((y[item] for item in kept), reverse=True)[:k]
    max_dcg = max(sum((2**one - 1) / math.log2(at + 2) for at, one in enumerate(best)), 1e-10)

    def gain(item: int) -> float:
        return float((2 ** y[item] - 1) / max_dcg)

    def inverse(at: int) -> float:
        return 1 / math.log2(1 + at)

    def weight(i: int, j: int) -> float:
        weighing = options.get("weighing", "lambda_rank")
        if weighing == "none":
            return 1.0
        if weighing == "ndcg_loss1":
            return gain(i) * inverse(rank[i])
        apart = abs(rank[i] - rank[j])
        swapped = abs(inverse(rank[i]) - inverse(rank[j])) * abs(gain(i) - gain(j))
        nearer = abs(inverse(apart) - inverse(apart + 1)) * abs(gain(i) - gain(j))
        mu = options.get("mu", 10.0)
        return float({"lambda_rank": swapped, "ndcg_loss2": nearer, "ndcg_loss2pp": mu * nearer + swapped}[weighing])

    every = options.get("weighing") == "ndcg_loss1"
    first = [item for item in kept if rank[item] <= k]
    return [(i, j, weight(i, j)) for i in first for j in first if every or y[i] > y[j]]


def pairwise(pairs: Any) -> Reference:
    """The logistic loss summed over a list's pairs; mean divides by the number of all."""

    def unreduced(t: Tensors, options: Options) -> Tensor:
        natural = pairs is rank_net_pairs or options.get("logarithm") == "natural"
        found = []
        for row in range(len(t["input"])):
            total = t["input"][row].sum() * 0
            for i, j, weight in pairs(t, options, row):
                apart = t["input"][row, i] - t["input"][row, j]
                total = total + weight * torch.log1p(torch.exp(-options.get("sigma", 1.0) * apart))
            found.append(total if natural else total / math.log(2))
        return torch.stack(found) if found else t["input"].sum(1)

    def divisor(t: Tensors, options: Options, values: Tensor) -> tuple[float, int]:
        counts = [len(pairs(t, options, row)) for row in range(len(values))]
        return float(sum(counts)), counts.count(0)

    return Reference(unreduced, divisor)


BUILDERS = {"list_net_loss": list_net, "rank_net_loss": rank_net, "lambda_rank_loss": lambda_rank}
REFERENCES = {
    "list_net_loss": Reference(top_one, lists_with_items),
    "rank_net_loss": pairwise(rank_net_pairs),
    "lambda_rank_loss": pairwise(lambda_rank_pairs),
}
