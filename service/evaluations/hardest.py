"""The samples of largest loss: a bounded list that merges in any order to the same one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.evaluations.scored import Scored

HARD_BYTES = 250
"""About what one of them takes in memory beside its texts."""


class Hard(NamedTuple):
    """One sample; the order of the fields is the order of the list: NaN first, then the largest loss, then identity."""

    defined: bool
    negated: float
    """Minus the loss; 0 where that is NaN."""
    id: str
    """The sample's own id, `""` without one."""
    batch_id: str
    place: int
    """Its index in the batch."""
    named: bool
    label: int
    """Its class, -1 without one."""
    group: int

    @property
    def loss(self) -> float:
        return 0.0 - self.negated if self.defined else math.nan


def merged(first: list[Hard], second: list[Hard], limit: int) -> list[Hard]:
    """The hardest of two sorted lists, at most `limit`."""
    if not second or (len(first) >= limit and (not limit or first[-1] < second[0])):
        return first
    return sorted(first + second)[:limit]


def hardest(scored: Scored, at: NDArray[np.intp], losses: NDArray[np.float64], limit: int) -> list[Hard]:
    """The hardest of a batch's samples: those at `at`, (k,), whose own losses are `losses`, (k,)."""
    if not limit:
        return []
    heights = np.where(np.isnan(losses), np.inf, losses)
    chosen = np.arange(len(at))
    if len(at) > limit:
        border = np.partition(heights, len(at) - limit)[len(at) - limit]
        chosen = np.flatnonzero(heights >= border)  # ties at the border: identity decides below
    if scored.sample_ids is None and len(chosen) > limit:
        # Without ids the place decides: NaN, then losses, then places, so that only `limit` become objects.
        order = np.lexsort((chosen, -heights[chosen], ~np.isnan(losses[chosen])))
        chosen = chosen[order[:limit]]
    own, places = losses[chosen], at[chosen]
    undefined = np.isnan(own)
    negated = 0.0 - own
    negated[undefined] = 0.0
    listed, n = places.tolist(), len(places)
    columns: tuple[Iterable[Any], ...] = (
        (~undefined).tolist(),
        negated.tolist(),
        [""] * n if scored.sample_ids is None else [scored.sample_ids[place] for place in listed],
        [scored.batch_id] * n,
        listed,
        [scored.sample_ids is not None] * n,
        _labels(scored, places),
        [-1] * n if scored.groups is None else scored.groups[places].tolist(),
    )
    return sorted(map(Hard._make, zip(*columns, strict=True)))[:limit]


def _labels(scored: Scored, at: NDArray[np.intp]) -> list[int]:
    """The class of each of these samples; -1 for those of several elements or none."""
    if scored.element_classes is None:
        return [-1] * len(at)
    n = len(scored.values)
    if np.array_equal(scored.element_samples, np.arange(n)):  # an element each
        return scored.element_classes[at].tolist()  # type: ignore[no-any-return]
    sizes = np.bincount(scored.element_samples, minlength=n)
    labels = np.full(n, -1, np.int64)
    labels[scored.element_samples] = scored.element_classes
    found: list[int] = np.where(sizes[at] == 1, labels[at], -1).tolist()
    return found
