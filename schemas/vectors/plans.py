"""Which cases a loss has: its shapes, tensors, options, reductions and edges, one thing at a time, by its class."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, get_args

import numpy as np

from schemas.dims import Form, Shape, forms
from schemas.request import LossRequest
from schemas.vectors.answer import Kind

ROWS: Final = 4
WIDTHS: Final = (3, 5, 2, 6)
"""Sizes of named dims, in the order in which they are met: no two are equal that need not be."""
SMALL: Final = 1e-3
"""A default below it is there to keep a logarithm or a root finite: doubling it would show nothing."""


@dataclass(frozen=True)
class Plan:
    """One case before it is drawn.

    `form`: the position of the alternative in the dims. `star`: the sizes behind a starred name, where that is not the
    usual one. `rows`: how many rows, where that is not the usual number. `tensors`: the optional tensors that are
    there. `probabilities`: class targets are probabilities. `members`: options and common members; `cotangent`:
    whether there is one. `narrow`: the tensor that broadcasts along its last dim. `scale`: the largest magnitude of
    predictions. `coarse`: values that are often equal. `ignored`: which elements are, by the mask `ignoring` or by
    class index. `refusable`: the loss may refuse it, and there is no vector then. `finite`: the answer must be.
    """

    name: str
    kind: Kind
    description: str
    form: int = -1
    star: Shape | None = None
    rows: int | None = None
    tensors: tuple[str, ...] = ()
    probabilities: bool = False
    narrow: str = ""
    members: dict[str, Any] = field(default_factory=dict)
    cotangent: bool = False
    scale: float = 2.0
    coarse: bool = False
    ignored: Literal["none", "some", "all"] = "none"
    ignoring: str = ""
    refusable: bool = False
    finite: bool = True

    def only_example(self) -> bool:
        """Whether it is the catalogue's example, as it stands."""
        return self.kind == "example"


def plans(cls: type[LossRequest]) -> Iterator[Plan]:
    """All cases of a loss, in order."""
    yield Plan("example", "example", "the catalogue's example")
    yield from _shapes(cls)
    yield from _tensors(cls)
    yield from _options(cls)
    yield from _reductions(cls)
    yield from _ignored(cls)
    yield from _edges(cls)


def starred(form: Form) -> str | None:
    """The starred name of a form."""
    return next((token for token in form if token.startswith("*")), None)


def optional(cls: type[LossRequest]) -> list[str]:
    """The tensors that a request may leave out."""
    return [name for name in cls.tensor_fields if not cls.model_fields[name].is_required()]


def takes_probabilities(cls: type[LossRequest]) -> bool:
    """Whether class targets may be probabilities."""
    return any(spec.probabilities for spec in cls.tensor_fields.values())


def alternatives(cls: type[LossRequest], option: str) -> list[Any]:
    """Values of an option other than its default: its class's own choice, or what its schema tells."""
    if option in cls.varied:
        return list(cls.varied[option])
    schema = _properties(cls)[option]
    default = schema.get("default")
    found: list[Any] = []
    for one in schema.get("anyOf", [schema]):
        if "enum" in one:
            found += one["enum"]
        elif one.get("type") == "boolean":
            found += [True, False]
        elif one.get("type") == "integer":
            found += [int(value) for value in _numbers(one, default, whole=True)]
        elif one.get("type") == "number":
            found += _numbers(one, default, whole=False)
    return [value for at, value in enumerate(found) if value != default and value not in found[:at]]


def companions(cls: type[LossRequest], plan: Plan) -> Iterator[Plan]:
    """The plan with one thing more, which it may need: probabilities, an optional tensor, or another option."""
    if takes_probabilities(cls) and not plan.probabilities:
        told = f"{plan.description}, the targets being probabilities"
        yield replace(plan, description=told, probabilities=True)
    for name in optional(cls):
        if name not in plan.tensors:
            told = f"{plan.description}, with {name}"
            yield replace(plan, description=told, tensors=(*plan.tensors, name))
    for option in cls.option_names:
        if option not in plan.members and option != "ignore_index":
            for value in alternatives(cls, option):
                told = f"{plan.description}, {option} = {value!r}"
                yield replace(plan, description=told, members={**plan.members, option: value})


def _properties(cls: type[LossRequest]) -> dict[str, Any]:
    found: dict[str, Any] = cls.model_json_schema()["properties"]
    return found


def _numbers(schema: dict[str, Any], default: Any, *, whole: bool) -> list[float]:
    """Two numbers beside the default, and the bounds that may be reached."""
    low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf))
    high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf))
    start = default if isinstance(default, int | float) else (low if math.isfinite(low) else 0)
    if whole:
        found = [low, start - 1, start + 1, start + 2]
    elif high - low <= 100:
        found = [low, low + (high - low) / 4, low + (high - low) * 3 / 4, high]
    elif 0 < abs(start) < SMALL:
        found = [low, 0.125]
    else:
        found = [low, start / 2, start * 2] if start else [low, 0.5, 1.5]

    def allowed(value: float) -> bool:
        inside = low < value < high or value in (schema.get("minimum"), schema.get("maximum"))
        return math.isfinite(value) and inside

    return [value for value in found if allowed(value)]


def _first(cls: type[LossRequest]) -> tuple[Form, ...]:
    """The forms of the tensor by which the form is chosen."""
    return next((forms(spec.dims) for spec in cls.tensor_fields.values() if spec.dims), ())


def _shapes(cls: type[LossRequest]) -> Iterator[Plan]:
    alternative = _first(cls)
    for at, form in enumerate(alternative):
        star = starred(form)
        stars: tuple[Shape | None, ...] = (None,) if star is None else ((), (3,), (2, 3))
        for sizes in stars:
            told = f"form [{', '.join(form)}]" + ("" if sizes is None else f", {star} of {len(sizes)} dims")
            name = f"shape/{at}" + ("" if sizes is None else f"/{len(sizes)}")
            yield Plan(name, "shape", told, form=at, star=sizes, refusable=sizes == ())
            if takes_probabilities(cls):
                told += ", the targets being probabilities"
                yield Plan(f"{name}/probabilities", "shape", told, form=at, star=sizes, probabilities=True)


def _tensors(cls: type[LossRequest]) -> Iterator[Plan]:
    names = optional(cls)
    for name in names:
        yield Plan(f"tensor/{name}", "tensor", f"with {name}", tensors=(name,))
        if takes_probabilities(cls):
            told = f"with {name}, the targets being probabilities"
            yield Plan(f"tensor/{name}/probabilities", "tensor", told, tensors=(name,), probabilities=True)
    if len(names) > 1:
        yield Plan("tensor/all", "tensor", f"with {', '.join(names)}", tensors=tuple(names), refusable=True)
    for name, spec in cls.tensor_fields.items():
        if spec.broadcast:
            told = f"{name} has a last dim of 1, and broadcasts"
            own = (name,) if name in names else ()
            yield Plan(
                f"tensor/{name}/broadcast", "tensor", told, star=(2, 3), tensors=own, narrow=name, refusable=True
            )


def _options(cls: type[LossRequest]) -> Iterator[Plan]:
    for option in cls.option_names:
        if option == "ignore_index" and option not in cls.varied:
            continue
        for at, value in enumerate(alternatives(cls, option)):
            told = f"{option} = {value!r}"
            yield Plan(f"option/{option}/{at}", "option", told, members={option: value})


def _reductions(cls: type[LossRequest]) -> Iterator[Plan]:
    known = get_args(cls.model_fields["reduction"].annotation)
    for reduction in known:
        yield Plan(f"reduction/{reduction}", "reduction", f"reduction {reduction}", members={"reduction": reduction})
        told = f"a cotangent under reduction {reduction}"
        yield Plan(f"cotangent/{reduction}", "cotangent", told, members={"reduction": reduction}, cotangent=True)
    yield Plan("gradient/none", "gradient", "the loss alone", members={"gradients": []})
    every = tuple(name for name in optional(cls) if cls.tensor_fields[name].differentiable == "always")
    for name, spec in cls.tensor_fields.items():
        possible = spec.differentiable != "never" and (spec.differentiable == "always" or takes_probabilities(cls))
        if possible:
            yield Plan(
                f"gradient/{name}",
                "gradient",
                f"the gradient in {name}",
                tensors=(name,) if name in optional(cls) else (),
                probabilities=spec.differentiable == "with probabilities",
                members={"gradients": [name]},
            )
    for member in cls.maps:
        for name, value in cls.about.example[member].items():
            if np.asarray(value).dtype.kind == "f":
                yield Plan(f"gradient/{name}", "gradient", f"the gradient in {name}", members={"gradients": [name]})
    if every:
        yield Plan("gradient/default", "gradient", f"the default gradients, with {', '.join(every)}", tensors=every)


def _ignored(cls: type[LossRequest]) -> Iterator[Plan]:
    for base in _ignoring(cls):
        yield replace(base, name=f"ignored/{base.name}", kind="ignored", ignored="some")
        for on_empty in ("nan", "zero"):
            yield replace(
                base,
                name=f"edge/all-ignored/{base.name}/{on_empty}",
                kind="edge",
                description=f"{base.description}: all are ignored, and on_empty is {on_empty}",
                members={**base.members, "on_empty": on_empty},
                ignored="all",
                finite=False,
                refusable=True,
            )


def _ignoring(cls: type[LossRequest]) -> Iterator[Plan]:
    """Every way in which elements can be ignored."""
    if "ignore_index" in cls.option_names:
        if cls.model_fields["ignore_index"].default is not None:
            yield Plan("default", "ignored", "targets that are ignore_index's default")
        yield Plan("class", "ignored", "ignore_index is a class", members={"ignore_index": 1})
    for name, spec in cls.tensor_fields.items():
        if spec.kind == "mask":
            own = (name,) if name in optional(cls) else ()
            yield Plan(name, "ignored", f"zeros in {name}", tensors=own, ignoring=name)


def _edges(cls: type[LossRequest]) -> Iterator[Plan]:
    yield Plan("edge/one-row", "edge", "one row", rows=1, refusable=True)
    for on_empty in ("nan", "zero"):
        yield Plan(
            f"edge/no-rows/{on_empty}",
            "edge",
            f"no rows, and on_empty is {on_empty}",
            rows=0,
            members={"on_empty": on_empty},
            finite=False,
            refusable=True,
        )
    boundless = any(cls.tensor_fields[name].domain == "any" for name in cls.predictions if name in cls.tensor_fields)
    for scale in (80.0, 1e4) if boundless else ():
        told = f"predictions up to {scale:g}"
        yield Plan(f"edge/large/{scale:.0f}", "edge", told, scale=scale, finite=False, refusable=True)
    told = "many values are equal; without gradients where these jump"
    yield Plan("edge/ties", "edge", told, coarse=True, refusable=True)
