"""A computed batch made ready to be stored."""

from __future__ import annotations

import sys

import numpy as np

from schemas.evaluation.batch import Envelope
from schemas.evaluation.cut import Cut
from schemas.evaluation.spec import RunSpec
from schemas.operation import OperationResult
from schemas.request import LossRequest
from service.evaluations.exact import held
from service.evaluations.hardest import HARD_BYTES
from service.evaluations.moments import Moments, moments_of
from service.evaluations.partial import Partial, partial_of
from service.evaluations.run import NewBatch
from service.evaluations.samples import Samples, keys_of
from service.evaluations.scored import Scored
from service.evaluations.scoring import figures, scored
from service.evaluations.series import packed
from service.evaluations.slots import ODD_KINDS

BATCH_BYTES = 4000
"""About what a batch takes beside what grows with it."""


def new_batch(
    request: LossRequest,
    result: OperationResult,
    spec: RunSpec,
    given: Envelope,
    pieces: Cut,
    batch_id: str,
    digest: bytes,
) -> NewBatch:
    """What a batch adds to its run, its samples, and its own figures.

    Raises `service.evaluations.scored.Misfit` where it does not fit its run.
    """
    found = scored(request, result, spec, given, pieces, batch_id)
    samples, partial = samples_of(found), partial_of(spec, found)
    moments = moments_in(partial, found)
    answer = figures(found, moments, spec)
    return NewBatch(batch_id, digest, partial, samples, packed(moments), answer, memory_of(partial, samples))


def moments_in(partial: Partial, found: Scored) -> Moments:
    """The exact sums of all samples: those of the partial, where these are all that there are."""
    units = partial.cells["units"]
    n = len(found.values)
    if not n or "odd" in partial.cells or units[0][0] != 0 or units[1][0] != n:
        return moments_of(found.values, found.shares)
    return Moments.of(n, {name: own.get(0, 0) for name, own in partial.sums.items()}, (0,) * ODD_KINDS)


def memory_of(partial: Partial, samples: Samples) -> int:
    """About how many bytes a batch takes until it is written and folded."""
    columns = (samples.losses, samples.shares, samples.keys, samples.groups, samples.classes)
    return (
        BATCH_BYTES
        + sum(map(held, partial.sums.values()))
        + sum(keys.nbytes + counts.nbytes for keys, counts in partial.cells.values())
        + HARD_BYTES * len(partial.hardest)
        + sum(column.nbytes for column in columns if column is not None)
        + sum(map(sys.getsizeof, samples.ids or ()))
    )


def samples_of(found: Scored) -> Samples:
    """The columns that are kept of each sample."""
    n = len(found.values)
    classes = found.element_classes
    own = None
    if classes is not None and len(classes) == n and np.array_equal(found.element_samples, np.arange(n)):
        own = classes.astype(np.int32)
    elif classes is not None and (found.counts <= 1).all():  # one element a sample, but some are ignored
        own = np.full(n, -1, np.int32)
        own[found.element_samples] = classes
    keys = keys_of(found.batch_id, n, found.sample_ids)
    return Samples(found.values, found.shares, keys, found.sample_ids, found.groups, own)
