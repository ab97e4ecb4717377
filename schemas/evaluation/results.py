"""What the report of a run has under `results`, for those who read it.

Numbers that are not finite are written as `"NaN"`, `"Infinity"` and `"-Infinity"`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, WithJsonSchema

_ODD = ("NaN", "Infinity", "-Infinity")


def _read(value: Any) -> Any:
    return float(value) if value in _ODD else value


def _written(value: float) -> float | str:
    if value != value:  # noqa: PLR0124 - NaN is what differs from itself
        return "NaN"
    return value if abs(value) != float("inf") else "Infinity" if value > 0 else "-Infinity"


Number = Annotated[
    float,
    BeforeValidator(_read),
    PlainSerializer(_written, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "enum": list(_ODD)}]}),
]
"""A float64, or the name of what is not finite."""


class Interval(BaseModel):
    """Where the loss of all data that the samples were drawn from lies, at a level of confidence."""

    level: float
    low: Number
    high: Number
    method: Literal["normal"]


class NotFinite(BaseModel):
    """How many samples' values are not finite."""

    nan: int
    positive_infinity: int
    negative_infinity: int


class Quantile(BaseModel):
    """The loss below which a part q of the samples lies."""

    q: float
    value: Number


class Histogram(BaseModel):
    """Counts of sample losses between neighbouring edges; one edge more than counts."""

    edges: list[Number] = Field(description="Rising. Widths differ; where a long tail is, the last bar holds it.")
    counts: list[int]


class SampleLoss(BaseModel):
    """The finite losses of single samples."""

    min: Number | None
    max: Number | None
    relative_accuracy: float = Field(description="How near the quantiles are to those of the sorted losses.")
    quantiles: list[Quantile]
    histogram: Histogram


class Share(BaseModel):
    """The loss of a part of the data."""

    loss: Number
    standard_error: Number | None = Field(description="null below two samples (of a class: elements).")
    divisor: Number
    count: int = Field(description="Elements that contribute.")


class ClassLoss(Share):
    """The loss of one class's elements."""

    number: int = Field(alias="class")
    name: str


class GroupLoss(Share):
    """The loss of one group's samples."""

    group: str
    samples: int


class Hardest(BaseModel):
    """A sample of large loss; samples whose loss is NaN come first."""

    id: str | None
    batch_id: str
    index: int = Field(description="Its place in the batch.")
    loss: Number
    label: int | None = Field(alias="class", description="null without one, or of several elements.")
    group: str | None


class TopK(BaseModel):
    """The part of rows whose class is among the k best."""

    k: int
    value: Number


class Averages(BaseModel):
    """A figure of each class, and its averages over the classes that are there or predicted."""

    binary: Number | None = Field(None, description="Binary predictions: of the positive class.")
    micro: Number
    macro: Number
    weighted: Number
    per_class: list[Number | None] = Field(description="null: the class is neither there nor predicted.")


class Areas(BaseModel):
    """The area under a curve of each class against the rest, and its averages."""

    macro: Number
    weighted: Number
    per_class: list[Number | None] = Field(description="null: the class is in all rows or in none.")
    error_bound: Number = Field(description="How far any of the figures may be from that of scores without bins.")


class CalibrationBin(BaseModel):
    """Rows whose confidence is in [low, high); in the last bin also high."""

    low: float
    high: float
    count: int
    confidence: Number | None = Field(description="The mean; null without rows.")
    accuracy: Number | None


class CalibrationError(BaseModel):
    """How far confidence is from accuracy."""

    expected: Number
    maximum: Number
    bins: list[CalibrationBin]


class ConfusionMatrix(BaseModel):
    """Rows by class and prediction: a row of counts for each class."""

    classes: list[str]
    counts: list[list[int]]


class Metrics(BaseModel):
    """The metrics that the run was asked for: of contributing elements, each with the same weight."""

    accuracy: Number | None = Field(None, description="Multi-label: the part of rows that are right in every label.")
    top_k_accuracy: TopK | None = None
    balanced_accuracy: Number | None = Field(None, description="The mean recall of the classes that are there.")
    precision: Averages | None = None
    recall: Averages | None = None
    f1: Averages | None = None
    auroc: Areas | None = None
    average_precision: Areas | None = None
    calibration_error: CalibrationError | None = None
    confusion_matrix: ConfusionMatrix | None = None
    brier_score: Number | None = Field(None, description="Multi-class: the sum over classes, so from 0 to 2.")
    mae: Number | None = None
    mse: Number | None = None
    rmse: Number | None = None
    r2: Number | None = None


class Bootstrap(BaseModel):
    """An interval from resampling."""

    level: float
    low: Number
    high: Number
    replicates: int
    units: int


class Stretch(BaseModel):
    """The loss of batches that follow each other."""

    batches: int
    samples: int
    loss: Number
    divisor: Number


class Results(BaseModel):
    """The figures of a run: the same to the bit in whatever order its batches came."""

    loss: Number
    reduction: Literal["mean", "sum"]
    sum: Number
    divisor: Number
    standard_error: Number | None = Field(description="Over samples, of the ratio of sum and divisor; null below two.")
    interval: Interval | None
    samples: int
    batches: int
    count: int = Field(description="Elements that contribute.")
    ignored: int
    not_finite: NotFinite
    sample_loss: SampleLoss
    classes: list[ClassLoss] | None
    groups: list[GroupLoss] | None
    hardest: list[Hardest]
    metrics: Metrics
    bootstrap: Bootstrap | None = None
    series: list[Stretch] = Field(default_factory=list)
