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
from service.evaluations.moments import NOTHING, is_void
from service.evaluations.partial import Partial, partial_of
from service.evaluations.run import NewBatch
from service.evaluations.samples import Samples, keys_of
from service.evaluations.scored import Scored
from service.evaluations.scoring import figures, scored
from service.evaluations.series import packed

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
    moments = partial.moments()
    void = is_void(spec, moments.n, partial.count)
    own = figures(partial, NOTHING if void else moments, spec)
    return NewBatch(batch_id, digest, partial, samples, packed(moments, void=void), own, memory_of(partial, samples))


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
