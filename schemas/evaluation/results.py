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
    WithJsonSchema({"description": f"A number, or one of the texts {', '.join(_ODD)}.", "examples": [0.25]}),
]
"""A float64, or the name of what is not finite."""


class EvaluationInterval(BaseModel):
    """Where the loss of all data that the samples were drawn from lies, at a level of confidence."""

    level: float = Field(description="The level of confidence.")
    low: Number = Field(description="Its lower end.")
    high: Number = Field(description="Its upper end.")
    method: Literal["normal"] = Field(
        description="How it was found: from the standard error, by the normal distribution."
    )


class EvaluationNotFinite(BaseModel):
    """How many samples' values are not finite."""

    nan: int = Field(description="That are NaN.")
    positive_infinity: int = Field(description="That are Infinity.")
    negative_infinity: int = Field(description="That are -Infinity.")


class EvaluationQuantile(BaseModel):
    """The loss below which a part q of the samples lies."""

    q: float = Field(description="The part of the samples.")
    value: Number = Field(description="The loss.")


class EvaluationHistogram(BaseModel):
    """Counts of sample losses between neighbouring edges; one edge more than counts."""

    edges: list[Number] = Field(description="Rising. Widths differ; where a long tail is, the last bar holds it.")
    counts: list[int] = Field(description="Samples between two edges.")


class EvaluationSampleLoss(BaseModel):
    """The finite losses of single samples."""

    min: Number | None = Field(description="The smallest; null where none is finite.")
    max: Number | None = Field(description="The largest; null where none is finite.")
    relative_accuracy: float = Field(description="How near the quantiles are to those of the sorted losses.")
    quantiles: list[EvaluationQuantile] = Field(description="By rising part.")
    histogram: EvaluationHistogram = Field(description="How they are spread.")


class EvaluationShare(BaseModel):
    """The loss of a part of the data."""

    loss: Number = Field(description="Its loss.")
    standard_error: Number | None = Field(description="null below two samples (of a class: elements).")
    divisor: Number = Field(description="Its part of the divisor.")
    count: int = Field(description="Elements that contribute.")


class EvaluationClassLoss(EvaluationShare):
    """The loss of one class's elements."""

    number: int = Field(alias="class", description="The class.")
    name: str = Field(description="The class's name.")


class EvaluationGroupLoss(EvaluationShare):
    """The loss of one group's samples."""

    group: str = Field(description="The group's name.")
    samples: int = Field(description="Its samples.")


class EvaluationHardest(BaseModel):
    """A sample of large loss; samples whose loss is NaN come first."""

    id: str | None = Field(description="The sample's id; null without one.")
    batch_id: str = Field(description="The batch that it came in.")
    index: int = Field(description="Its place in the batch.")
    loss: Number = Field(description="The sample's loss.")
    label: int | None = Field(alias="class", description="null without one, or of several elements.")
    group: str | None = Field(description="Its group; null without one.")


class EvaluationTopK(BaseModel):
    """The part of rows whose class is among the k best."""

    k: int = Field(description="How many of the best classes may be right.")
    value: Number = Field(description="The part of the rows.")


class EvaluationAverages(BaseModel):
    """A figure of each class, and its averages over the classes that are there or predicted."""

    binary: Number | None = Field(None, description="Binary predictions: of the positive class.")
    micro: Number = Field(description="Of all rows together.")
    macro: Number = Field(description="The mean over the classes.")
    weighted: Number = Field(description="The mean over the classes, weighed by their rows.")
    per_class: list[Number | None] = Field(description="null: the class is neither there nor predicted.")


class EvaluationAreas(BaseModel):
    """The area under a curve of each class against the rest, and its averages."""

    macro: Number = Field(description="The mean over the classes.")
    weighted: Number = Field(description="The mean over the classes, weighed by their rows.")
    per_class: list[Number | None] = Field(description="null: the class is in all rows or in none.")
    error_bound: Number = Field(description="How far any of the figures may be from that of scores without bins.")


class EvaluationCalibrationBin(BaseModel):
    """Rows whose confidence is in [low, high); in the last bin also high."""

    low: float = Field(description="The lower end.")
    high: float = Field(description="The upper end.")
    count: int = Field(description="Rows.")
    confidence: Number | None = Field(description="The mean; null without rows.")
    accuracy: Number | None = Field(description="The part of them that is right; null without rows.")


class EvaluationCalibrationError(BaseModel):
    """How far confidence is from accuracy."""

    expected: Number = Field(description="The mean over the bins, weighed by their rows.")
    maximum: Number = Field(description="That of the worst bin.")
    bins: list[EvaluationCalibrationBin] = Field(description="Bins of equal width from 0 to 1.")


class EvaluationConfusionMatrix(BaseModel):
    """Rows by class and prediction: a row of counts for each class."""

    classes: list[str] = Field(description="The names of the classes.")
    counts: list[list[int]] = Field(description="By class, then by prediction.")


class EvaluationMetrics(BaseModel):
    """The metrics that the run was asked for: of contributing elements, each with the same weight."""

    accuracy: Number | None = Field(None, description="Multi-label: the part of rows that are right in every label.")
    top_k_accuracy: EvaluationTopK | None = Field(None, description="How often the right class is among the best.")
    balanced_accuracy: Number | None = Field(None, description="The mean recall of the classes that are there.")
    precision: EvaluationAverages | None = Field(
        None, description="The part of what is predicted to be of a class that is."
    )
    recall: EvaluationAverages | None = Field(
        None, description="The part of what is of a class that is predicted to be."
    )
    f1: EvaluationAverages | None = Field(None, description="The harmonic mean of precision and recall.")
    auroc: EvaluationAreas | None = Field(None, description="The area under the receiver operating characteristic.")
    average_precision: EvaluationAreas | None = Field(
        None, description="The area under the curve of precision over recall, as a sum of steps."
    )
    calibration_error: EvaluationCalibrationError | None = Field(
        None, description="How far confidence is from accuracy."
    )
    confusion_matrix: EvaluationConfusionMatrix | None = Field(None, description="What is taken for what.")
    brier_score: Number | None = Field(None, description="Multi-class: the sum over classes, so from 0 to 2.")
    mae: Number | None = Field(None, description="The mean absolute error.")
    mse: Number | None = Field(None, description="The mean squared error.")
    rmse: Number | None = Field(None, description="The root of the mean squared error.")
    r2: Number | None = Field(None, description="The coefficient of determination.")


class EvaluationBootstrap(BaseModel):
    """An interval from resampling."""

    level: float = Field(description="The level of confidence.")
    low: Number = Field(description="Its lower end.")
    high: Number = Field(description="Its upper end.")
    replicates: int = Field(description="How often it was resampled.")
    units: int = Field(description="Units that were drawn from: samples, put together where they are many.")


class EvaluationStretch(BaseModel):
    """The loss of batches that follow each other."""

    batches: int = Field(description="Batches.")
    samples: int = Field(description="Their samples.")
    loss: Number = Field(description="Their loss.")
    divisor: Number = Field(description="Their part of the divisor.")


class EvaluationResults(BaseModel):
    """The figures of a run: the same to the bit in whatever order its batches came."""

    loss: Number = Field(description="The loss over the data set, its sums exact and rounded once.")
    reduction: Literal["mean", "sum"] = Field(description="What the loss is.")
    sum: Number = Field(description="The sum of all values: what the mean divides.")
    divisor: Number = Field(description="What the mean divides by.")
    standard_error: Number | None = Field(description="Over samples, of the ratio of sum and divisor; null below two.")
    interval: EvaluationInterval | None = Field(description="Of the loss, from its standard error; null without one.")
    samples: int = Field(description="Samples.")
    batches: int = Field(description="Batches.")
    count: int = Field(description="Elements that contribute.")
    ignored: int = Field(description="Elements that are ignored.")
    not_finite: EvaluationNotFinite = Field(description="Samples whose values are not finite.")
    sample_loss: EvaluationSampleLoss = Field(description="How the losses of single samples are spread.")
    classes: list[EvaluationClassLoss] | None = Field(description="The loss by class; null where there are none.")
    groups: list[EvaluationGroupLoss] | None = Field(description="The loss by group; null where there are none.")
    hardest: list[EvaluationHardest] = Field(description="The samples of largest loss, the largest first.")
    metrics: EvaluationMetrics = Field(description="What the run was asked for beside the loss.")
    bootstrap: EvaluationBootstrap | None = Field(
        None, description="Of the loss, from resampling; null below two samples, or where one has no finite loss."
    )
    series: list[EvaluationStretch] = Field(
        default_factory=list, description="Batches in the order of their ids, neighbours put together."
    )
