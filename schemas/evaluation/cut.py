"""How a batch of a run is cut into samples, and which class each element of its loss has."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.dims import forms
from schemas.evaluation.spec import RunSpec
from schemas.evaluation.task import task_of
from schemas.problem import Fault
from schemas.request import LossRequest


class Cut(NamedTuple):
    """The samples of a batch, and which of its elements contribute (`None`: only their number is known)."""

    samples: int
    contributes: NDArray[np.bool_] | None


def cut(request: LossRequest) -> Cut:
    """The samples of a batch: the rows of its unreduced loss. Where there are no such rows, the batch is one sample."""
    shape = request.checked.layout.unreduced
    if any(form and form[0] == "C" for form in forms(request.unreduced)):  # a value for each class
        return Cut(1, None)
    contributes = request.contributes()
    return Cut(1, None) if contributes is None else Cut(shape[0] if shape else 1, contributes)


class Classed(NamedTuple):
    """The class of each element of an unreduced loss, in its shape; and the classes' scores, in a last dim."""

    targets: NDArray[np.int64]
    scores: NDArray[Any] | None


def classed(request: LossRequest) -> Classed | None:
    """Classes and scores, where targets are class indices; `None` where they are none, or are not those of elements."""
    checked = request.checked
    spec = request.tensor_fields.get("target")
    if spec is None or spec.kind != "index" or checked.layout.probabilities or checked.layout.classes is None:
        return None
    targets = checked.tensors["target"]
    wanted = checked.layout.unreduced
    follows = bool(wanted) and targets.shape == (*wanted[:-1], wanted[-1] + 1)  # each position predicts the next
    if not follows and targets.shape != wanted:
        return None
    scores = None
    if request.predicts is not None:
        form = request.tensor_fields["input"].form(checked.layout.form)
        scores = np.moveaxis(checked.tensors["input"], form.index("C"), -1)
    if follows:
        targets = targets[..., 1:]
        scores = None if scores is None else scores[..., :-1, :]
    return Classed(targets, scores)


def check_classes(request: LossRequest, spec: RunSpec) -> list[Fault]:
    """Whether a batch has classes, and those or the labels that its run names."""
    if request.checked.layout.classes == 0:
        return [Fault("/input", "has no classes; without samples it has the shape [0, C]")]
    if spec.classes is None:
        return []
    named = len(spec.classes)
    if task_of(spec) == "multilabel":
        shape = request.checked.tensors["input"].shape
        found: Any = shape[-1] if len(shape) > 1 else "no dim of"
        return [] if found == named else [Fault("/input", f"has {found} labels; the run has {named}")]
    own = classed(request)
    if own is None or own.scores is None or own.scores.shape[-1] == named:
        return []
    return [Fault("/input", f"has {own.scores.shape[-1]} classes; the run has {named}")]
