"""One computed batch of a run, taken apart into samples and elements."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.evaluation.batch import Envelope
from schemas.evaluation.cut import Cut, classed
from schemas.evaluation.spec import RunSpec
from schemas.evaluation.task import Task, task_of
from schemas.operation import OperationResult
from schemas.request import LossRequest
from service.evaluations.moments import Moments
from service.evaluations.partial import Partial
from service.evaluations.scored import Form, Scored

Floats = NDArray[np.float64]


def scored(
    request: LossRequest, result: OperationResult, spec: RunSpec, given: Envelope, pieces: Cut, batch_id: str
) -> Scored:
    """What came of computing a batch, of which `result` has the unreduced values."""
    checked = request.checked
    samples, contributes = pieces
    values, shares = _elements(request, result, spec, contributes)
    per_sample = values.size // samples if samples else 0
    owners = np.repeat(np.arange(samples), per_sample)
    if contributes is None:
        counts = np.array([checked.count], np.int64)
        ignored = np.array([checked.ignored], np.int64)
        kept = np.full(1, checked.count > 0)
        seen = Seen()
    else:
        kept = contributes.reshape(-1)
        counts = kept.reshape(samples, per_sample).sum(1, dtype=np.int64)
        ignored = per_sample - counts
        seen = _seen(request, spec, kept)
    return Scored(
        batch_id=batch_id,
        values=_by_sample(values, samples),
        shares=_by_sample(shares, samples),
        counts=counts,
        ignored=ignored,
        element_values=values[kept],
        element_shares=shares[kept],
        element_samples=owners[kept],
        element_classes=seen.classes,
        predictions=seen.predictions,
        targets=seen.targets,
        task=seen.task,
        form=seen.form,
        sample_ids=given.sample_ids,
        groups=given.groups,
    )


def figures(partial: Partial, moments: Moments, spec: RunSpec) -> dict[str, Any]:
    """A batch's own loss and counts: those of a run that has this batch alone, to the bit."""
    return {
        "samples": partial.samples,
        "loss": moments.loss(spec.reduction),
        "divisor": moments.divisor,
        "count": partial.count,
        "ignored": partial.ignored,
    }


def _elements(
    request: LossRequest, result: OperationResult, spec: RunSpec, contributes: NDArray[np.bool_] | None
) -> tuple[Floats, Floats]:
    """Each element's part of the sum and of the divisor, flat; of a batch that is one sample, their sums."""
    checked = request.checked
    found = {path[0]: array.astype(np.float64) for path, array in result.tensors.items()}
    values = found["values"]
    if spec.reduction != "sum" and "sizes" in found:
        values = values / found["sizes"]
    if contributes is None:
        known = checked.count if checked.divisor is None else checked.divisor
        divisor = math.fsum(found["shares"].reshape(-1)) if "shares" in found else float(known)
        return np.array([math.fsum(values.reshape(-1))]), np.array([divisor])
    own = request.shares()
    shares = found.get("shares", contributes.astype(np.float64)) if own is None else own
    # What is ignored has a loss of 0, or of NaN where its logits are none; its share may be a whole sequence's.
    return np.where(contributes, values, 0.0).reshape(-1), shares.reshape(-1)


def _by_sample(elements: Floats, samples: int) -> Floats:
    """The sum of each sample's elements."""
    if elements.size == samples:
        return elements
    return np.asarray(elements.reshape(samples, -1).sum(1))


class Seen(NamedTuple):
    """What metrics are made of: see `Scored`."""

    task: Task | None = None
    form: Form | None = None
    predictions: Floats | None = None
    targets: NDArray[Any] | None = None
    classes: NDArray[np.int64] | None = None


def _seen(request: LossRequest, spec: RunSpec, kept: NDArray[np.bool_]) -> Seen:
    """Predictions, targets and classes of the elements that contribute."""
    tensors, form, task = request.checked.tensors, request.predicts, task_of(spec)
    own = classed(request)
    if own is not None:
        classes = own.targets.reshape(-1)[kept]
        if form is None or own.scores is None:
            return Seen(classes=classes)
        scores = own.scores.reshape(-1, own.scores.shape[-1])[kept].astype(np.float64)
        return Seen(task, form, scores, classes, classes)
    if form is None or task in (None, "multiclass"):
        return Seen()
    scores = tensors["input"].astype(np.float64)
    labels = np.broadcast_to(tensors["target"], scores.shape).astype(np.float64)
    if task == "regression":
        if request.__dict__.get("log_input"):
            scores = np.exp(scores)
        return Seen(task, form, scores.reshape(-1)[kept], labels.reshape(-1)[kept])
    if request.tensor_fields["target"].domain == "usually_sign":
        labels = (labels > 0).astype(np.float64)
    if task == "binary":
        flat = labels.reshape(-1)[kept]
        return Seen(task, form, scores.reshape(-1)[kept], flat, (flat > 0.5).astype(np.int64))
    columns = scores.shape[-1]
    by_label = request.checked.layout.unreduced == scores.shape  # else one loss for all labels of a sample
    labelled = np.broadcast_to(np.arange(columns), scores.shape).reshape(-1)[kept] if by_label else None
    return Seen(task, form, scores.reshape(-1, columns), labels.reshape(-1, columns), labelled)
