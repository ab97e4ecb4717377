"""What an evaluation run is asked to be."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from schemas.dtype import FloatingName
from schemas.evaluation.text import Name, Text

MAX_CLASSES: Final = 10_000
MAX_GROUPS: Final = 1_000
MAX_HARDEST: Final = 1_000
MAX_METRICS: Final = 32
MAX_TAGS: Final = 64
MAX_EXPECTED: Final = 2**53
"""Whole numbers up to here are the same in every reader of JSON."""

MetricName = Literal[
    "accuracy",
    "top_k_accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "auroc",
    "average_precision",
    "calibration_error",
    "confusion_matrix",
    "brier_score",
    "mae",
    "mse",
    "rmse",
    "r2",
]


class MetricSpec(BaseModel):
    """One metric, and what it is computed with."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: MetricName = Field(description="The metric.")
    k: int | None = Field(None, ge=1, description="`top_k_accuracy`: how many of the best classes may be right; 5.")
    bins: int | None = Field(None, ge=2, le=1000, description="`calibration_error`: how many bins of equal width; 15.")
    threshold: float | None = Field(
        None, ge=0, le=1, description="Binary and multi-label predictions are positive above this probability; 0.5."
    )


def _named(value: Any) -> Any:
    """A metric's name alone stands for the metric as it is by default."""
    return {"name": value} if type(value) is str else value


class RunSpec(BaseModel):
    """What a run computes; the same for all of its batches."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Text = Field("", description="What people call the run.")
    loss: str = Field(description="The loss, as `/v1/losses` names it.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="The loss's options, and tensors that all batches share, such as class weights.",
    )
    reduction: Literal["mean", "sum"] = Field("mean", description="What the data set's loss is.")
    dtype: FloatingName = Field("float64", description="The type that losses are computed in.")
    metrics: list[Annotated[MetricSpec, BeforeValidator(_named)]] = Field(
        default_factory=list,
        max_length=MAX_METRICS,
        description="What is computed beside the loss: names, or objects with a name and what it is computed with.",
    )
    classes: list[Name] | None = Field(
        None,
        min_length=1,
        max_length=MAX_CLASSES,
        description="The names of the classes or labels; a number n stands for the names `0` to `n-1`.",
    )
    groups: list[Name] | None = Field(
        None, min_length=1, max_length=MAX_GROUPS, description="The names of the groups that samples may be in."
    )
    tags: dict[Name, Text] = Field(default_factory=dict, max_length=MAX_TAGS, description="What runs are found by.")
    expected_samples: int | None = Field(
        None, ge=1, le=MAX_EXPECTED, description="How many samples the data set has: for progress."
    )
    hardest: int = Field(100, ge=0, le=MAX_HARDEST, description="How many of the samples of largest loss are kept.")
    confidence: float = Field(0.95, ge=0.001, le=0.999999, description="The level of intervals.")

    @field_validator("classes", mode="before")
    @classmethod
    def _names_of_a_number(cls, value: Any) -> Any:
        if type(value) is not int:
            return value
        if not 1 <= value <= MAX_CLASSES:
            raise PydanticCustomError("classes", f"must be 1 to {MAX_CLASSES} classes")
        return [str(at) for at in range(value)]

    @field_validator("classes", "groups")
    @classmethod
    def _each_once(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and len(set(value)) < len(value):
            raise PydanticCustomError("unique", "every name must be there once")
        return value
