"""The catalogue: every loss in words and numbers, made from its request class."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, Field

from schemas.losses import LOSSES
from schemas.oip_tensors import mapped
from schemas.request import LossRequest


class CatalogueTensor(BaseModel):
    """One tensor of a loss."""

    name: str = Field(description="Its member in a request.")
    dims: str = Field(description="Its shape in every form of the loss: `C | N C *D`.", examples=["C | N C *D"])
    kind: Literal["floating", "index", "integer", "mask"] = Field(
        description="floating; index: class indices (or, where its dims say so, probabilities); integer: whole "
        "numbers; mask: booleans, or 0 and 1."
    )
    values: str = Field(description="What its values may be.")
    required: bool = Field(description="Whether a request must have it.")
    differentiable: Literal["always", "never", "with probabilities"] = Field(
        description="Whether gradients may be asked for in it."
    )
    description: str = Field(description="What it is.")


class CatalogueEntry(BaseModel):
    """One loss."""

    name: str = Field(description="The canonical name.", examples=["cross_entropy"])
    aliases: list[str] = Field(
        description="Other names that requests and paths may use.", examples=[["CrossEntropyLoss"]]
    )
    family: str = Field(description="The kind of loss.", examples=["classification"])
    summary: str = Field(description="What it is, in a sentence.")
    formula: str = Field(description="The unreduced loss, in LaTeX; x is the input, y the target, w a weight.")
    tensors: list[CatalogueTensor] = Field(description="The tensors of a request.")
    options: dict[str, Any] = Field(
        description="The options of a request, each as JSON Schema with default and bounds."
    )
    unreduced: str = Field(description="The dims of the loss under reduction none.", examples=["() | N *D"])
    gradients: list[str] = Field(description="The tensors that gradients are answered for when none are named.")
    mean: str = Field(description="What the reduction mean divides by.")
    batching: Literal["elements", "rows", "alone"] = Field(
        description="How requests are computed together: flattened (elements), along their rows, or never (alone). "
        "Answers are the same either way."
    )
    twice_differentiable: bool = Field(
        description="Whether it has Hessian-vector products: PyTorch differentiates its gradients again."
    )
    notes: list[str] = Field(description="Where it hurts, and where Gradwire differs from its source.")
    source: str = Field(description="Where its meaning is from.")
    example: dict[str, Any] = Field(description="A request that can be sent as it is.")


class Catalogue(BaseModel):
    """Every loss there is."""

    losses: list[CatalogueEntry] = Field(description="The losses.")


@cache
def entry(cls: type[LossRequest]) -> CatalogueEntry:
    """The catalogue's entry of a loss."""
    schema = cls.model_json_schema()
    properties = schema["properties"]
    about = cls.about
    return CatalogueEntry(
        name=cls.name,
        aliases=list(cls.aliases),
        family=about.family,
        summary=summary(cls),
        formula=about.formula,
        tensors=[
            CatalogueTensor(
                name=name,
                dims=spec.dims or "see the description",
                kind=spec.kind,
                values=spec.allowed(),
                required=cls.model_fields[name].is_required(),
                differentiable=spec.differentiable,
                description=properties[name].get("description", ""),
            )
            for name, spec in cls.tensor_fields.items()
        ]
        + [_named(f"{member}.{name}", properties[member]) for member, names in mapped(cls).items() for name in names],
        options={name: properties[name] for name in ("reduction", *cls.option_names) if name not in mapped(cls)},
        unreduced=cls.unreduced,
        gradients=list(cls.predictions),
        mean=about.mean,
        batching=cls.stacking,
        twice_differentiable=cls.twice_differentiable,
        notes=list(about.notes),
        source=about.source,
        example=example(cls),
    )


def _named(name: str, described: dict[str, Any]) -> CatalogueTensor:
    """A tensor that the example names; callers choose names of their own."""
    return CatalogueTensor(
        name=name,
        dims="*S",
        kind="floating",
        values="any",
        required=True,
        differentiable="always",
        description=f"One of the example's, for any name. {described['description']}",
    )


@cache
def catalogue() -> Catalogue:
    """Every loss, in the order of the families."""
    return Catalogue(losses=[entry(cls) for cls in LOSSES.values()])


def summary(cls: type[LossRequest]) -> str:
    """The first sentence of a loss's own description."""
    return (cls.__doc__ or "").strip().split("\n")[0]


def example(cls: type[LossRequest]) -> dict[str, Any]:
    """A request that can be sent as it is."""
    return {"loss": cls.name, **cls.about.example}
