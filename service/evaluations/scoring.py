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
        classes, compared = None, Compared()
    else:
        kept = contributes.reshape(-1)
        counts = kept.reshape(samples, per_sample).sum(1, dtype=np.int64)
        ignored = per_sample - counts
        classes, compared = _classes(request, spec, kept), _compared(request, spec, kept)
    return Scored(
        batch_id=batch_id,
        values=_by_sample(values, samples),
        shares=_by_sample(shares, samples),
        counts=counts,
        ignored=ignored,
        element_values=values[kept],
        element_shares=shares[kept],
        element_samples=owners[kept],
        element_classes=classes,
        predictions=compared.predictions,
        targets=compared.targets,
        task=compared.task,
        form=compared.form,
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


class Compared(NamedTuple):
    """What metrics compare: see `Scored`."""

    task: Task | None = None
    form: Form | None = None
    predictions: Floats | None = None
    targets: NDArray[Any] | None = None


def _classes(request: LossRequest, spec: RunSpec, kept: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """The class of each element that contributes; `None` where there is none."""
    own = classed(request)
    if own is not None:
        return own.targets.reshape(-1)[kept]
    task = task_of(spec)
    if request.predicts is None or task not in ("binary", "multilabel"):
        return None
    if task == "binary":
        return (_labels(request).reshape(-1)[kept] > 0.5).astype(np.int64)
    shape = request.checked.tensors["input"].shape
    if request.checked.layout.unreduced != shape:  # one loss for all labels of a sample
        return None
    return np.broadcast_to(np.arange(shape[-1]), shape).reshape(-1)[kept]


def _compared(request: LossRequest, spec: RunSpec, kept: NDArray[np.bool_]) -> Compared:
    """Predictions and targets of the elements that contribute, if the run has metrics: they may be large."""
    form, task = request.predicts, task_of(spec)
    if not spec.metrics or form is None:
        return Compared()
    own = classed(request)
    if own is not None:
        if own.scores is None:
            return Compared()
        scores = own.scores.reshape(-1, own.scores.shape[-1])
        return Compared(task, form, _chosen(scores, kept).astype(np.float64, copy=False), own.targets.reshape(-1)[kept])
    if task in (None, "multiclass"):
        return Compared()
    scores, labels = request.checked.tensors["input"].astype(np.float64, copy=False), _labels(request)
    if task == "multilabel":
        columns = scores.shape[-1]
        return Compared(task, form, scores.reshape(-1, columns), labels.reshape(-1, columns))
    if task == "regression" and request.__dict__.get("log_input"):
        scores = np.exp(scores)
    return Compared(task, form, _chosen(scores.reshape(-1), kept), labels.reshape(-1)[kept])


def _labels(request: LossRequest) -> Floats:
    """Targets that are no class indices, in the shape of the scores."""
    tensors = request.checked.tensors
    labels = np.broadcast_to(tensors["target"], tensors["input"].shape)
    if request.tensor_fields["target"].domain == "usually_sign":
        return (labels > 0).astype(np.float64)
    return labels.astype(np.float64)


def _chosen(rows: NDArray[Any], kept: NDArray[np.bool_]) -> NDArray[Any]:
    """Mostly all of them: then they are not copied."""
    return rows if kept.all() else rows[kept]
