"""All figures of a run, as its report has them."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from schemas.evaluation.task import class_names
from service.evaluations import sketch

if TYPE_CHECKING:
    from service.evaluations.hardest import Hard
    from service.evaluations.tally import Tally


def results_of(tally: Tally) -> dict[str, Any]:
    """Every member of `schemas.evaluation.results.Results` but the bootstrap and the series, in its order."""
    spec = tally.spec
    whole = tally.moments()
    loss, error = whole.loss(spec.reduction), whole.standard_error(spec.reduction)
    nan, plus, minus = whole.odd[:3]
    return {
        "loss": loss,
        "reduction": spec.reduction,
        "sum": whole.sum,
        "divisor": whole.divisor,
        "standard_error": error,
        "interval": interval(loss, error, spec.confidence),
        "samples": tally.samples,
        "batches": tally.batches,
        "count": tally.count,
        "ignored": tally.ignored,
        "not_finite": {"nan": nan, "positive_infinity": plus, "negative_infinity": minus},
        "sample_loss": _sample_loss(tally),
        "classes": _classes(tally),
        "groups": _groups(tally),
        "hardest": [_hard(tally, one) for one in tally.hardest],
        "metrics": tally.plan.figures(tally),
    }


def interval(loss: float, error: float | None, level: float) -> dict[str, Any] | None:
    """The interval that a normal distribution around the loss gives; `None` without a standard error."""
    if error is None:
        return None
    reach = NormalDist().inv_cdf(0.5 + level / 2) * error
    return {"level": level, "low": loss - reach, "high": loss + reach, "method": "normal"}


def _sample_loss(tally: Tally) -> dict[str, Any]:
    counts = tally.cells("losses")
    there = math.isfinite(tally.low)
    return {
        "min": tally.low if there else None,
        "max": tally.high if there else None,
        "relative_accuracy": sketch.ACCURACY,
        "quantiles": sketch.quantiles(counts, tally.low, tally.high),
        "histogram": sketch.histogram(counts, tally.low, tally.high),
    }


def _slot(tally: Tally, slot: int) -> dict[str, Any]:
    moments = tally.moments(slot)
    reduction = tally.spec.reduction
    return {
        "loss": moments.loss(reduction),
        "standard_error": moments.standard_error(reduction),
        "divisor": moments.divisor,
    }


def _classes(tally: Tally) -> list[dict[str, Any]] | None:
    """Of each class the loss of its elements; the standard error is over elements, each as a unit of its own."""
    names, first = class_names(tally.spec), tally.slots.first_class
    units = tally.cells("units")
    if names is None or not units[first : first + len(names)].any():
        return None
    return [
        {"class": at, "name": name, **_slot(tally, first + at), "count": int(units[first + at])}
        for at, name in enumerate(names)
    ]


def _groups(tally: Tally) -> list[dict[str, Any]] | None:
    """Of each group the loss of its samples; the standard error is over samples."""
    names, first = tally.spec.groups, tally.slots.first_group
    if names is None:
        return None
    members, elements = tally.cells("members").tolist(), tally.cells("elements").tolist()
    return [
        {"group": name, **_slot(tally, first + at), "count": elements[at], "samples": members[at]}
        for at, name in enumerate(names)
    ]


def _hard(tally: Tally, one: Hard) -> dict[str, Any]:
    groups = tally.spec.groups
    return {
        "id": one.id if one.named else None,
        "batch_id": one.batch_id,
        "index": one.place,
        "loss": one.loss,
        "class": None if one.label < 0 else one.label,
        "group": groups[one.group] if groups is not None and one.group >= 0 else None,
    }
