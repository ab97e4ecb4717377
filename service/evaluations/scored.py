"""What computing one batch of a run gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from schemas.evaluation.task import Task

Form = Literal["logits", "log_probabilities", "probabilities", "values"]


@dataclass(slots=True)
class Scored:
    """The losses of a batch's n samples, and what metrics compare.

    A sample has one or many elements of the unreduced loss, E in all. Under `mean` its own loss is its value divided by
    its share, under `sum` its value. A sample of which nothing contributes (its count is 0) has no loss; but where it
    has a share all the same, it is 0.
    """

    batch_id: str
    values: NDArray[np.float64]
    """(n,) Each sample's part of the data set's sum."""
    shares: NDArray[np.float64]
    """(n,) Its part of the divisor: the data set's mean is the sum of values divided by the sum of shares."""
    counts: NDArray[np.int64]
    """(n,) Elements that contribute."""
    ignored: NDArray[np.int64]
    """(n,) Elements that do not."""
    element_values: NDArray[np.float64]
    """(E,) As `values`, by element; only elements that contribute."""
    element_shares: NDArray[np.float64]
    """(E,) As `shares`, by element."""
    element_samples: NDArray[np.int64]
    """(E,) Which sample an element belongs to."""
    element_classes: NDArray[np.int64] | None = None
    """(E,) The class of each element; `None` where there is none."""
    predictions: NDArray[Any] | None = None
    """(m, C) or, for one value an element, (m,); floating. Only elements that contribute."""
    targets: NDArray[Any] | None = None
    """(m,) Classes as int64, or values; (m, L) labels for `multilabel`."""
    task: Task | None = None
    form: Form | None = None
    """What predictions are."""
    sample_ids: list[str] | None = None
    """n of them, or none."""
    groups: NDArray[np.int32] | None = None
    """(n,) Positions in the run's groups."""


class Misfit(ValueError):
    """A batch that does not fit its run: other numbers of classes, a class or group beyond those that the run names."""
