"""Computed batches made part of their run: a group at a time, so that what they add is not all there at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas.evaluation.spec import RunSpec
from schemas.operation import OperationResult
from schemas.problem import Fault, InvalidRequest
from service.engine import Outcome
from service.evaluations.refusals import EvaluationRefused
from service.evaluations.scored import Misfit
from service.http.body import aside
from service.http.evaluations.runs import Runs, refusal, with_interval
from service.wire.evaluation import Batch

if TYPE_CHECKING:
    from service.evaluations.run import NewBatch

ASIDE: Final = 4_096
"""Elements and slots of a call from which on what it adds is worked out beside the event loop."""
BATCH: Final = 1_024
"""Adding any batch takes as long as so many elements, however small it is: half a millisecond."""
ID: Final = 2
"""Hashing a sample's id takes as long as so many elements."""
SLOT: Final = 8
"""Adding to a slot's exact sums takes as long as counting so many elements, about."""
AT_ONCE: Final = 32 << 20
"""Bytes of a group of batches, if it is not one alone."""
BATCH_BYTES: Final = 12 << 10
"""What a batch takes while what it adds is worked out, however small it is."""
ELEMENT_BYTES: Final = 64
"""What an element takes then: its numbers in float64, and for each metric as many."""
CLASS_BYTES: Final = 192
"""What it takes more where classes are named: all elements are laid end to end by their class."""
SLOT_BYTES: Final = 1_024
"""A slot's exact sums."""
HARD_BYTES: Final = 512
"""One of the hardest samples, and the id of any."""


class Call(NamedTuple):
    """The batches of one call by position, the sound ones with their ids; and the elements that all of them take."""

    sound: dict[int, Batch]
    faulty: dict[int, InvalidRequest]
    ids: dict[int, str]
    many: bool
    elements: int


def _slots(batch: Batch, spec: RunSpec) -> int:
    """The slots that a batch adds to, at most: the whole's, those of classes and groups."""
    named = len(spec.classes or ()) + len(spec.groups or ())
    return 1 + min(named, batch.request.checked.layout.elements)


def _elements(batch: Batch, spec: RunSpec) -> int:
    """The numbers that are looked at: the unreduced loss, and for each metric the predictions."""
    layout = batch.request.checked.layout
    return math.prod(layout.unreduced) + len(spec.metrics) * layout.elements


def weight(batch: Batch, spec: RunSpec) -> int:
    """How long working out what a batch adds takes, in elements."""
    ids = ID * len(batch.given.sample_ids or ())
    return BATCH + _elements(batch, spec) + ids + SLOT * _slots(batch, spec) + min(spec.hardest, batch.cut.samples)


def nbytes(batch: Batch, spec: RunSpec) -> int:
    """The memory that what a batch adds takes, about."""
    named = CLASS_BYTES * math.prod(batch.request.checked.layout.unreduced) if spec.classes else 0
    slots, samples = SLOT_BYTES * _slots(batch, spec), HARD_BYTES * batch.cut.samples
    return BATCH_BYTES + ELEMENT_BYTES * _elements(batch, spec) + named + slots + samples


def groups(call: Call, spec: RunSpec) -> Iterator[list[int]]:
    """The sound batches of a call, by position: as many at once as there is room for."""
    group: list[int] = []
    held = 0
    for at, batch in call.sound.items():
        size = nbytes(batch, spec)
        if group and held + size > AT_ONCE:
            yield group
            group, held = [], 0
        group.append(at)
        held += size
    if group:
        yield group


def most_at_once(call: Call, spec: RunSpec) -> int:
    """The memory that the largest of these groups takes."""
    return max([sum([nbytes(call.sound[at], spec) for at in group]) for group in groups(call, spec)], default=0)


Computed = Outcome[OperationResult] | BaseException


class Adding(NamedTuple):
    """The run that batches are added to."""

    runs: Runs
    run_id: str
    owner: str | None
    spec: RunSpec

    async def add(self, call: Call, outcomes: Sequence[Computed]) -> dict[int, Any]:
        """All sound batches of a call made part of the run: their answers, or what each was refused with."""
        found = dict(zip(call.sound, outcomes, strict=True))
        beside = sum([weight(batch, self.spec) for batch in call.sound.values()]) >= ASIDE
        answers: dict[int, Any] = {}
        for group in groups(call, self.spec):
            make = partial(self._made, call, {at: found.pop(at) for at in group})
            made = await aside(make) if beside else make()
            answers |= {at: one for at, one in made.items() if isinstance(one, BaseException)}
            new = {at: one for at, one in made.items() if not isinstance(one, BaseException)}
            del make, made
            stored = await asyncio.gather(*[self._stored(one) for one in new.values()], return_exceptions=True)
            answers.update(zip(new, stored, strict=True))
        return answers

    def _made(self, call: Call, outcomes: Mapping[int, Computed]) -> dict[int, NewBatch | Exception]:
        """What these batches add to the run; for each that fails, with what."""
        return {at: self._one(call.sound[at], call.ids[at], outcome) for at, outcome in outcomes.items()}

    def _one(self, batch: Batch, batch_id: str, outcome: Computed) -> Any:
        from service.evaluations.adding import new_batch  # noqa: PLC0415 - loads the store's library

        if isinstance(outcome, BaseException):
            return outcome
        try:
            return new_batch(batch.request, outcome.result, self.spec, batch.given, batch.cut, batch_id, batch.digest)
        except Misfit as error:
            return InvalidRequest([Fault("", str(error))], self.spec.loss)
        except Exception as error:  # noqa: BLE001 - told in this batch's place, and of no other
            return error

    async def _stored(self, new: NewBatch) -> dict[str, Any]:
        """The answer to a batch that is durable. Raises what the store refuses as problems."""
        evaluations = await self.runs.evaluations()
        try:
            added = await evaluations.add(self.run_id, self.owner, new)
        except EvaluationRefused as error:
            raise refusal(error) from None
        total = with_interval(added.total, self.spec.confidence)
        return {"batch_id": new.batch_id, "duplicate": added.duplicate, "batch": added.answer, "total": total}
