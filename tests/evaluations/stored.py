"""Runs of samples in memory, as the store gives them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.evaluation.spec import RunSpec
from service.evaluations.pairing import Stream
from service.evaluations.run import Run
from service.evaluations.samples import Samples, keys_of


def batched(
    losses: Any,
    shares: Any = None,
    *,
    order: NDArray[np.intp] | None = None,
    size: int = 500,
    ids: Sequence[str] | None = None,
    classes: Any = None,
    groups: Any = None,
) -> list[tuple[str, Samples]]:
    """The samples in batches of `size`, taken in `order`; each has its place in `losses` as its id."""
    n = len(losses)
    losses = np.asarray(losses, float)
    shares = np.ones(n) if shares is None else np.asarray(shares, float)
    order = np.arange(n) if order is None else order
    names = [f"s{place}" for place in range(n)] if ids is None else list(ids)
    made = []
    for start in range(0, n, size):
        at = order[start : start + size]
        chosen = [names[place] for place in at]
        batch = f"b{start}"
        made.append(
            (
                batch,
                Samples(
                    losses[at],
                    shares[at],
                    keys_of(batch, len(at), chosen),
                    chosen,
                    None if groups is None else np.asarray(groups, np.int32)[at],
                    None if classes is None else np.asarray(classes, np.int32)[at],
                ),
            )
        )
    return made


async def one_by_one(batches: Sequence[tuple[str, Samples]]) -> AsyncIterator[tuple[str, Samples]]:
    """The batches as a stream."""
    for each in batches:
        yield each


def stream_of(runs: Mapping[str, Sequence[tuple[str, Samples]]]) -> Stream:
    """What the store's `samples` is, for these runs."""
    return lambda run_id, through: one_by_one(runs[run_id][:through])


def run(name: str, samples: int, **spec: Any) -> Run:
    """A run of so many samples, whose name is its id."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    asked = RunSpec.model_validate({"loss": "cross_entropy", **spec})
    return Run(name, asked, None, "sealed", now, now, now, 1000, 1000, samples, 100)
