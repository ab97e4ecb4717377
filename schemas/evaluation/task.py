"""What a loss's predictions are compared with: the task, which tells the metrics that fit."""

from __future__ import annotations

from typing import Final, Literal

from schemas.evaluation.spec import RunSpec

Task = Literal["multiclass", "binary", "multilabel", "regression"]

_LOSSES: Final[dict[Task, tuple[str, ...]]] = {
    "multiclass": (
        "nll_loss",
        "cross_entropy",
        "poly1_cross_entropy",
        "linear_cross_entropy",
        "multi_margin_loss",
        "focal_loss",
        "next_token_cross_entropy",
    ),
    "binary": (
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "sigmoid_focal_loss",
        "soft_margin_loss",
    ),
    "multilabel": ("asymmetric_loss", "multilabel_soft_margin_loss"),
    "regression": (
        "l1_loss",
        "mse_loss",
        "quantile_loss",
        "tweedie_deviance_loss",
        "gamma_deviance_loss",
        "smooth_l1_loss",
        "huber_loss",
        "poisson_nll_loss",
        "log_cosh_loss",
        "charbonnier_loss",
        "cauchy_loss",
        "wing_loss",
        "gaussian_nll_loss",
    ),
}
TASKS: Final[dict[str, Task]] = {name: task for task, names in _LOSSES.items() for name in names}
"""The task of each loss that has one, by its canonical name."""


def task_of(spec: RunSpec) -> Task | None:
    """The task of a run; `None`: its loss has none, and no metric fits.

    A binary loss whose run names two classes or more is computed for so many labels at once: they are its columns.
    """
    task = TASKS.get(spec.loss)
    if task == "binary" and spec.classes is not None and len(spec.classes) > 1:
        return "multilabel"
    return task
