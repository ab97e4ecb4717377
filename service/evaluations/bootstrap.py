"""The bootstrap interval of a run's loss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import numpy as np

from service.evaluations.chunks import Aside, Batches, chunks
from service.evaluations.resampling import REPLICATES, Units, interval, replicates
from service.evaluations.samples import Samples


async def bootstrap(
    samples: AsyncIterator[tuple[str, Samples]],
    *,
    reduction: Literal["mean", "sum"],
    level: float,
    aside: Aside = asyncio.to_thread,
) -> dict[str, Any] | None:
    """`{"level", "low", "high", "replicates", "units"}` of the loss over the samples that have one.

    None where fewer than two have one, or where one is no finite number. A sum is of as many samples as there are:
    that they might have been more or fewer is no part of the interval.
    """
    units = Units(2)
    async for chunk in chunks(samples):
        if not await aside(_add_all, units, chunk, reduction):
            return None
    return await aside(_interval, units, reduction, level)


def _add_all(units: Units, batches: Batches, reduction: str) -> bool:
    return all(_add(units, batch, reduction) for _, batch in batches)


def _add(units: Units, batch: Samples, reduction: str) -> bool:
    """Take a batch; false where a loss is no finite number."""
    has = (batch.shares != 0) | (batch.losses != 0)  # a class of weight 0 may have a loss, by smoothing
    if not np.isfinite(batch.losses[has]).all():
        return False
    shares = batch.shares[has] if reduction == "mean" else np.ones(int(has.sum()))
    units.add(batch.keys[has], np.stack([batch.losses[has], shares]))
    return True


def _interval(units: Units, reduction: str, level: float) -> dict[str, Any] | None:
    if units.samples < 2:
        return None
    scale = 1 if reduction == "mean" else units.samples
    totals = units.totals()
    with np.errstate(all="ignore"):  # sums beyond float64 have no interval
        ends = interval(replicates(totals, lambda column: float(scale * (column[0] / column[1]))), level)
    if ends is None:
        return None
    return {"level": level, "low": ends[0], "high": ends[1], "replicates": REPLICATES, "units": totals.shape[1]}
