"""A group of batches: written in one transaction, then folded and answered run by run."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from service.evaluations.partial import Partial
from service.evaluations.run import Added, NewBatch
from service.evaluations.store.adding import Outcome, Packed, Placed


@dataclass(slots=True)
class Waiting:
    """A batch that waits to be written, and who waits for it."""

    run_id: str
    owner: str | None
    new: NewBatch
    done: asyncio.Future[Added]


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a group: an outcome for each batch, and the totals of the runs that are folded already."""

    outcomes: list[Outcome | Exception]
    totals: dict[str, dict[str, Any]]


PlacedBatches = list[tuple[Waiting, Placed]]
"""Batches of one run that are stored, and where."""


def by_run(group: list[Waiting], outcomes: list[Outcome | Exception]) -> dict[str, PlacedBatches]:
    """The batches that are stored, by run."""
    found: dict[str, PlacedBatches] = {}
    for one, outcome in zip(group, outcomes, strict=True):
        if isinstance(outcome, Placed):
            found.setdefault(one.run_id, []).append((one, outcome))
    return found


def added(placed: PlacedBatches) -> tuple[list[tuple[int, Partial]], int]:
    """What a run's tally gains by stored batches, and the last batch that those who wait for them must see in it."""
    new = [(place.seq, one.new.partial) for one, place in placed if not place.duplicate]
    return new, max(place.seq for _, place in placed)


def tell(placed: PlacedBatches, total: dict[str, Any]) -> None:
    """Answer those that wait for these batches."""
    for one, place in placed:
        if not one.done.done():
            one.done.set_result(Added(place.seq, place.duplicate, place.answer, total))


def packed(one: Waiting) -> Packed:
    """The batch as its rows hold it."""
    new = one.new
    return Packed(
        run_id=one.run_id,
        owner=one.owner,
        batch_id=new.batch_id,
        digest=new.digest,
        samples=len(new.samples),
        partial=new.partial.encode(),
        columns=new.samples.encode(),
        sums=new.sums,
        answer=json.dumps(new.answer, separators=(",", ":")),
    )
