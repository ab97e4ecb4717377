"""What runs are answered as, and what they are asked to become."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.evaluation.results import EvaluationInterval, Number
from schemas.evaluation.spec import MAX_TAGS, RunSpec
from schemas.evaluation.task import task_of
from schemas.evaluation.text import Name, Text, broken_texts
from schemas.faults import faults_of
from schemas.losses import resolve
from schemas.named import why_no_name
from schemas.nested import TensorFault
from schemas.problem import TOO_LARGE, Fault, InvalidRequest, pointer
from schemas.request import ABSENT, LossRequest
from schemas.tensor import Reading, read

State = Literal["open", "sealed"]

FIXED: Final = frozenset(("reduction", "gradients", "cotangent", "cotangents", "dtype", "encoding", "on_empty"))
"""Members of a loss's request that are none of a run's options."""

MAX_SPEC_BYTES: Final = 1 << 20
"""Bytes of a run's spec as JSON: it is read again for every report and listing."""


def run_spec(members: dict[str, Any], max_elements: int) -> RunSpec:
    """The checked spec of a new run. Raises `InvalidRequest` with all that is wrong with it."""
    try:
        spec = RunSpec.model_validate(members)
    except ValidationError as error:
        raise InvalidRequest(faults_of(error, set(RunSpec.model_fields))) from None
    broken = broken_texts(spec.options, "/options")
    if broken:
        raise InvalidRequest(broken)
    size = len(spec.model_dump_json())
    if size > MAX_SPEC_BYTES:
        detail = f"the run takes {size} bytes as JSON; the limit is {MAX_SPEC_BYTES}"
        raise InvalidRequest([Fault("", detail, TOO_LARGE)])
    cls = resolve(spec.loss)
    if cls is None:
        raise InvalidRequest([Fault("/loss", f"there is no loss {spec.loss[:80]!r}; GET /v1/losses lists them")])
    if cls.made_of_losses:
        detail = (
            f"a {cls.name} makes no run: the mean of a sum of losses is no quotient; make one for each of its terms"
        )
        raise InvalidRequest([Fault("/loss", detail)])
    spec = spec.model_copy(update={"loss": cls.name})
    faults = [
        Fault(pointer("options", name), f"{name} is no option of a run") for name in spec.options if name in FIXED
    ]
    for member in spec.options.keys() & cls.maps:
        faults += _named(spec.options[member], pointer("options", member))
    own = {name: value for name, value in spec.options.items() if name not in FIXED and name not in cls.maps}
    try:
        # Without the tensors of a batch this is never sound: what is wrong with the options is what counts.
        cls.model_validate({**own, "dtype": spec.dtype}, context=Reading(plain=False, max_elements=max_elements))
    except InvalidRequest as error:
        missing = "required, but missing"
        faults += [
            Fault("/options" + fault.pointer, fault.detail, fault.status)
            for fault in error.faults
            if fault.pointer.split("/")[1:2] and fault.pointer.split("/")[1] in own and fault.detail != missing
        ]
    faults += [Fault("/options" + fault.pointer, fault.detail) for fault in cls.run_faults(spec.options)]
    faults += _class_faults(cls, spec)
    if faults:
        raise InvalidRequest(faults)
    return spec


def _class_faults(cls: type[LossRequest], spec: RunSpec) -> list[Fault]:
    """Whether the loss has classes, where the run names them, and as many weights."""
    if spec.classes is None:
        return []
    if not _has_classes(cls, spec):
        return [Fault("/classes", f"{cls.name} has no classes or labels of its elements")]
    weight, named = spec.options.get("weight"), len(spec.classes)
    if task_of(spec) == "multiclass" and type(weight) is list and len(weight) != named:
        return [Fault("/options/weight", f"has {len(weight)} numbers; the run has {named} classes")]
    return []


def _has_classes(cls: type[LossRequest], spec: RunSpec) -> bool:
    """Whether elements of the loss have a class or a label each."""
    target = cls.tensor_fields.get("target")
    indices = target is not None and target.kind == "index" and not cls.unreduced.startswith("C")
    return indices or task_of(spec) not in (None, "regression")


def _named(tensors: Any, at: str) -> list[Fault]:
    """What is wrong with a formula's tensors that all batches share; each batch adds others to them."""
    if type(tensors) is not dict:
        return [Fault(at, "an object of tensors is needed here")]
    faults = []
    for name, value in tensors.items():
        why = why_no_name(name)
        if why:
            faults.append(Fault(at + pointer(name), why))
            continue
        try:
            read(value)
        except TensorFault as error:
            faults.append(Fault(at + pointer(name) + error.fault.pointer, error.fault.detail, error.fault.status))
    return faults


class EvaluationChange(BaseModel):
    """What is to become of a run; what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Text = Field(ABSENT, description="What people call it.")
    tags: dict[Name, Text] = Field(
        ABSENT, max_length=MAX_TAGS, description="All of its tags, in place of those it has."
    )
    state: Literal["sealed"] = Field(ABSENT, description="A sealed run takes no more batches; there is no way back.")


def run_change(members: dict[str, Any]) -> EvaluationChange:
    """A checked change. Raises `InvalidRequest`."""
    try:
        change = EvaluationChange.model_validate(members)
    except ValidationError as error:
        raise InvalidRequest(faults_of(error, set(EvaluationChange.model_fields))) from None
    nulls = [name for name, value in members.items() if value is None]
    if nulls:
        raise InvalidRequest([Fault(pointer(name), "null is none of its values") for name in nulls])
    return change


class EvaluationTotal(BaseModel):
    """What a run's batches add up to."""

    samples: int = Field(description="Samples of all batches.")
    batches: int = Field(description="Batches.")
    count: int = Field(description="Elements of the unreduced loss that contribute.")
    ignored: int = Field(description="Elements that are ignored.")
    divisor: Number = Field(description="What the mean divides by: all batches' divisors.")
    loss: Number = Field(description="The loss over the data set, its sums exact and rounded once.")
    standard_error: Number = Field(description="Of the loss, over samples; null below two.")
    interval: EvaluationInterval | None = Field(description="Of the loss, from its standard error.")


class EvaluationSummary(BaseModel):
    """A run, without what may be long."""

    id: str = Field(description="What it is known by.", examples=["ev_06bqk4h0k3wv1f8m2z7d9t5xrc"])
    name: str = Field(description="What people call it.")
    loss: str = Field(description="The loss.")
    reduction: str = Field(description="`mean` or `sum`.")
    dtype: str = Field(description="The type that losses are computed in.")
    metrics: list[dict[str, Any]] = Field(description="What is computed beside the loss.")
    tags: dict[str, str] = Field(description="What it is found by.")
    expected_samples: int | None = Field(description="How many samples the data set has.")
    hardest: int = Field(description="How many of the hardest samples are kept.")
    confidence: float = Field(description="The level of intervals.")
    state: State = Field(description="A sealed run takes no more batches.")
    created_at: datetime = Field(description="When it was made.")
    updated_at: datetime = Field(description="When it last changed.")
    sealed_at: datetime | None = Field(description="When it was sealed.")
    batches: int = Field(description="Batches that it has.")
    samples: int = Field(description="Samples that it has.")
    stored_bytes: int = Field(description="Bytes that its batches take in the database, about.")


class EvaluationAnswer(EvaluationSummary):
    """A run."""

    options: dict[str, Any] = Field(description="The loss's options, and tensors that all batches share.")
    classes: list[str] | None = Field(description="The names of the classes or labels.")
    groups: list[str] | None = Field(description="The names of the groups.")
    total: EvaluationTotal = Field(ABSENT, description="What its batches add up to; told where one run is asked for.")


class EvaluationPage(BaseModel):
    """Some runs."""

    evaluations: list[EvaluationSummary] = Field(
        description="The runs, newest first if not asked otherwise; options, classes and groups are told of one run "
        "alone."
    )
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")


class StoredBatchAnswer(BaseModel):
    """A batch of a run."""

    batch_id: str = Field(description="What it is known by in its run.")
    samples: int = Field(description="Its samples.")
    loss: Number = Field(description="Its own loss.")
    divisor: Number = Field(description="Its part of the divisor.")
    created_at: datetime = Field(description="When it was acknowledged.")


class EvaluationBatches(BaseModel):
    """Some batches of a run, in the order in which they were acknowledged."""

    batches: list[StoredBatchAnswer] = Field(description="The batches.")
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")


class BatchFigures(BaseModel):
    """A batch's own figures."""

    samples: int = Field(description="Its samples: rows of the unreduced loss.")
    loss: Number = Field(description="Its own loss.")
    divisor: Number = Field(description="Its part of the divisor.")
    count: int = Field(description="Elements that contribute.")
    ignored: int = Field(description="Elements that are ignored.")


class BatchAdded(BaseModel):
    """A batch that is durably part of its run; or, for one of many, the problem with it (`status`, `detail`)."""

    batch_id: str = Field(ABSENT, description="What it is known by in its run.")
    duplicate: bool = Field(ABSENT, description="Whether it was there already: it counts once.")
    batch: BatchFigures = Field(ABSENT, description="Its own figures.")
    total: EvaluationTotal = Field(ABSENT, description="Those of the run, with this batch in it.")
    results: list[dict[str, Any]] = Field(
        ABSENT, description="For many batches, in place of all else: such an answer or a problem for each, in order."
    )
