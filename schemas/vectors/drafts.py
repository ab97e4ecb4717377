"""Requests drawn for a plan: sizes from dims, values from kinds and domains, or from the catalogue's example."""

from __future__ import annotations

import copy
from typing import Any, Final, NamedTuple

import numpy as np

from schemas.catalogue import example
from schemas.dims import Shape, forms
from schemas.field import TensorField
from schemas.request import LossRequest
from schemas.tensor import read
from schemas.vectors.drawing import Array, Drawing
from schemas.vectors.plans import ROWS, WIDTHS, Plan, optional, starred

SOURCES: Final = ("any", "positive", "negative", "unit", "binary", "example")
"""Where values come from, tried in this order: any; all above 0; all below; all between 0 and 1; 0 and 1 in what is no
prediction; near the example's."""
AXES: Final = ("N", "B")
"""Names of the dim that holds the rows, where none is starred."""

Members = dict[str, Any]
Sizes = dict[str, Shape]


class Base(NamedTuple):
    """What a draft starts from: its form, its sizes by name, and members that are there already."""

    form: int
    sizes: Sizes
    members: Members


def draft(cls: type[LossRequest], plan: Plan, source: str, attempt: int) -> Members | None:
    """A request as members, its tensors NumPy arrays; `None` where this source has nothing for the plan.

    Whether it is valid is not known yet. Raises `InvalidRequest` where a cotangent is asked for and it is not.
    """
    if plan.only_example():
        return example(cls) if source == SOURCES[0] else None
    if plan.scale > 2 and source == "unit":
        return None
    drawing = Drawing(f"{cls.name}/{plan.name}/{source}/{attempt}")
    base = _from_example(cls, plan, drawing) if source == "example" else _from_dims(cls, plan)
    if base is None:
        return None
    members: Members = {"loss": cls.name}
    absent = set(optional(cls)) - set(plan.tensors)
    for name, spec in cls.tensor_fields.items():
        if name in base.members:
            members[name] = base.members.pop(name)
        elif name not in absent and spec.dims:
            members[name] = _tensor(cls, name, plan, source, base, drawing)
    members |= base.members
    members |= copy.deepcopy(plan.members)
    cls.drawn(drawing, members)
    if plan.ignored != "none":
        _ignore(cls, plan, members)
    if plan.cotangent:
        checked = cls.model_validate(members).checked
        members["cotangent"] = drawing.floats(checked.layout.unreduced if checked.reduction == "none" else ())
    return members


def _from_dims(cls: type[LossRequest], plan: Plan) -> Base | None:
    """Every name of the dims has a size of its own.

    Options that must be given are the example's, but those that the class varies itself.
    """
    alternative = next((forms(spec.dims) for spec in cls.tensor_fields.values() if spec.dims), None)
    if alternative is None:
        return None
    form = plan.form if plan.form >= 0 else len(alternative) - 1
    tokens: list[str] = []
    for spec in cls.tensor_fields.values():
        if spec.dims:
            tokens += [token for token in spec.form(form) if token not in tokens]
    rows: str | None = next((axis for axis in AXES if axis in tokens), None)
    first = alternative[form]
    if rows is None and first and first[0].startswith("*"):
        rows = first[0]
    widths = iter(WIDTHS * len(tokens))
    sizes: Sizes = {}
    for token in tokens:
        if token.isdigit():
            sizes[token] = (int(token),)
        elif token == rows:
            count = ROWS if plan.rows is None else plan.rows
            # Losses of single elements have two dims, the others one.
            sizes[token] = (count, 2) if first == (token,) else (count,)
        else:
            sizes[token] = () if token.startswith("*") else (next(widths),)
    star = starred(first)
    if plan.star is not None and star is not None:
        sizes[star] = plan.star
    if plan.rows is not None and rows is None:
        return None
    needed = {
        name: value
        for name, value in copy.deepcopy(cls.about.example).items()
        if name not in cls.tensor_fields and name not in cls.varied and cls.model_fields[name].is_required()
    }
    return Base(form, sizes, needed)


def _from_example(cls: type[LossRequest], plan: Plan, drawing: Drawing) -> Base | None:
    """The example's own sizes and options, its numbers moved a little."""
    if plan.star is not None or plan.probabilities:
        return None
    members = copy.deepcopy(example(cls))
    request = cls.model_validate(members)
    layout = request.checked.layout
    if plan.form not in (-1, layout.form):
        return None
    fields = request.fields_of(request.arrays())
    if plan.rows is not None and not any(spec.batched for spec in fields.values()):
        return None
    sizes = dict(layout.bound)
    for name, tensor in request.arrays().items():
        spec = fields[name]
        array = tensor.array
        if spec.kind == "floating" and array.dtype.kind == "f":
            array = np.asarray(read(_at(members, cls.path_of(name))).array, np.float64)
            array = _moved(array, spec, plan, drawing, prediction=name in request.default_gradients())
        if plan.rows is not None and spec.batched and array.ndim:
            if len(array) < plan.rows:
                return None
            array = array[: plan.rows]
        _put(members, cls.path_of(name), array)
    if plan.rows is not None:
        sizes["N"] = (plan.rows,)
    members.pop("loss")
    members.pop("gradients", None)
    return Base(layout.form, sizes, members)


def _moved(array: Array, spec: TensorField, plan: Plan, drawing: Drawing, *, prediction: bool) -> Array:
    if spec.domain in ("usually_sign", "usually_binary"):
        return array
    if plan.coarse and spec.domain == "any":
        return np.asarray(np.round(array * 2) / 2)
    moved = drawing.near(array)
    if spec.domain != "any":
        return moved.clip(0, 1)
    return np.asarray(moved * (plan.scale / 2)) if prediction and plan.scale > 2 else moved


def _tensor(cls: type[LossRequest], name: str, plan: Plan, source: str, base: Base, drawing: Drawing) -> Array:
    spec = cls.tensor_fields[name]
    form = spec.form(base.form)
    as_probabilities = plan.probabilities and bool(spec.probabilities)
    if as_probabilities:
        form = TensorField(spec.probabilities).form(base.form)
    shape = tuple(size for token in form for size in base.sizes.get(token, (1,)))
    if name == plan.narrow and shape:
        shape = (*shape[:-1], 1)
    if as_probabilities:
        if "C" not in form:
            return drawing.positive(shape, 1.0)
        return drawing.shares(shape, sum(len(base.sizes[token]) for token in form[: form.index("C")]))
    if spec.kind != "floating":
        classes = max((base.sizes.get("C") or (2 if spec.kind == "index" else 3,))[0], 1)
        return _discrete(spec, shape, classes, drawing)
    if spec.domain != "any":
        return _bounded(spec, shape, drawing)
    prediction = name in cls.predictions
    if name in optional(cls):
        source = "positive"
    if source == "binary":
        source = "any" if prediction else source
    return _values(source, shape, plan.scale if prediction else 2.0, drawing, coarse=plan.coarse)


def _values(source: str, shape: Shape, scale: float, drawing: Drawing, *, coarse: bool) -> Array:
    """Floating values of a source; 0 and 1 where it is binary."""
    if source == "binary":
        return np.asarray(drawing.whole(shape, 0, 2) * 1.0)
    if source == "unit":
        return drawing.positive(shape, 1.0)
    if source == "any":
        return drawing.coarse(shape) if coarse else drawing.floats(shape, scale)
    sizes = np.asarray(np.abs(drawing.coarse(shape)) + 0.5) if coarse else drawing.positive(shape, scale)
    return sizes if source == "positive" else -sizes


def _discrete(spec: TensorField, shape: Shape, classes: int, drawing: Drawing) -> Array:
    """Class indices, whole numbers, or a mask that leaves the first of every row in."""
    if spec.kind != "mask":
        return drawing.whole(shape, 0, classes)
    kept = np.asarray(drawing.whole(shape, 0, 4) > 0)
    if kept.ndim:
        kept[..., :1] = True
    return kept


def _bounded(spec: TensorField, shape: Shape, drawing: Drawing) -> Array:
    """Values of a domain, never its ends."""
    if spec.domain == "usually_sign":
        return drawing.signs(shape)
    if spec.domain == "usually_binary":
        return np.asarray(drawing.whole(shape, 0, 2) * 1.0)
    return drawing.positive(shape, 1.0)


def _ignore(cls: type[LossRequest], plan: Plan, members: Members) -> None:
    """Every second element, or all of them, are ignored."""
    step = 1 if plan.ignored == "all" else 2
    if plan.ignoring:
        kept = np.array(members[plan.ignoring])
        kept.reshape(-1)[::step] = False
        members[plan.ignoring] = kept
        return
    value = members.get("ignore_index", cls.model_fields["ignore_index"].default)
    for name, spec in cls.tensor_fields.items():
        if spec.kind == "index" and name in members:
            target = np.array(members[name])
            target.reshape(-1)[::step] = value
            members[name] = target


def _at(members: Members, name: str) -> Any:
    """The member behind a tensor's name: `tail.0.output` lies in a list of objects, `tensors.x` in an object."""
    found: Any = members
    for part in name.split("."):
        found = found[int(part) if isinstance(found, list) else part]
    return found


def _put(members: Members, name: str, value: Any) -> None:
    parent, _, last = name.rpartition(".")
    found = _at(members, parent) if parent else members
    found[last] = value
