"""The geometry of one request: everything that follows from its shapes alone, worked out once per set of shapes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from schemas.dims import Bound, Shape, bind, expected, extent, fits, forms, numel, show, spell
from schemas.field import TensorField
from schemas.problem import Fault, place

if TYPE_CHECKING:
    from schemas.tensor_request import TensorRequest

Shapes = tuple[tuple[str, Shape], ...]

MAX_EMPTY = 65_536
"""Rows of a tensor that has no elements: it needs no memory, but its answer is a list for each of them."""


@dataclass(slots=True)
class Layout:
    """How the shapes of a request's tensors fit together.

    `form`: which alternative of the dims holds. `bound`: the sizes behind each name. `faults`: shapes that do not fit.
    `probabilities`: the class targets are probabilities. `unreduced`: the shape of the unreduced loss. `spread`: for
    tensors that broadcast, the shape to view them in first. `elements`: those that the request needs, broadcasts
    expanded. `classes`: the size of the dim `C`. `hollow`: a tensor without elements that has too many empty rows. For
    losses that are stacked by rows, `rows`: their number; `inner`: the dims of the unreduced loss in
    each; `trailing`: those of each tensor; `shared`: the tensors that have no rows.
    """

    shapes: dict[str, Shape]
    form: int = 0
    bound: Bound = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    probabilities: bool = False
    unreduced: Shape = ()
    rows: int = 1
    spread: dict[str, Shape] = field(default_factory=dict)
    elements: int = 0
    classes: int | None = None
    hollow: str | None = None
    inner: Shape = ()
    trailing: tuple[tuple[str, Shape], ...] = ()
    shared: tuple[str, ...] = ()

    def size(self, name: str) -> int | None:
        """The size behind a dim's name, or `None` where a fault left it unknown."""
        part = self.bound.get(name)
        return None if part is None else numel(part)

    def fault(self, name: str, detail: str) -> None:
        """Note that this tensor's shape does not fit."""
        self.faults.append(Fault(place(name), detail))

    def faulty(self, name: str) -> bool:
        """Whether this tensor's shape does not fit."""
        return bool(self.faults) and any(fault.pointer == place(name) for fault in self.faults)

    def bind(self, specs: dict[str, TensorField]) -> None:
        """Choose the form by the first tensor, and fit every tensor that does not broadcast to it."""
        names = [name for name in specs if name in self.shapes and specs[name].dims]
        if not names:
            return
        first = names[0]
        self._choose_form(first, specs[first])
        for name in names:
            spec = specs[name]
            if spec.broadcast or self.faulty(name):
                continue
            form = spec.form(self.form)
            if spec.probabilities:
                logits = TensorField(spec.probabilities).form(self.form)
                wanted = expected(logits, self.bound)
                if wanted is None:  # the logits' own shape is unknown: nothing can be said of the targets'
                    continue
                # Class targets with as many dims as the logits are probabilities; with one fewer, indices.
                if len(self.shapes[name]) == len(wanted):
                    self.probabilities = True
                    form = logits
            mismatch = bind(form, self.shapes[name], self.bound, name, self.owners)
            if mismatch:
                self.fault(name, mismatch.detail)

    def _choose_form(self, name: str, spec: TensorField) -> None:
        shape = self.shapes[name]
        count = spec.dims.count("|") + 1
        for at in range(count):
            if fits(spec.form(at), len(shape)):
                self.form = at
                return
        self.form = count - 1
        wanted = " or ".join(spell(spec.form(at)) for at in range(count))
        self.fault(name, f"shape {show(shape)} does not fit {wanted}")


def is_hollow(shape: Shape) -> bool:
    """Whether a tensor of this shape has no elements, but too many empty rows."""
    return not numel(shape) and extent(shape) > MAX_EMPTY


@lru_cache(maxsize=4096)
def layout_of(cls: type[TensorRequest], shapes: Shapes, unreduced: str) -> Layout:
    """The layout of these shapes, with the dims of the unreduced loss: read-only once made, since requests share it."""
    layout = Layout(dict(shapes))
    layout.bind(cls.tensor_fields)
    alternatives = forms(unreduced)
    found = expected(alternatives[min(layout.form, len(alternatives) - 1)], layout.bound)
    layout.unreduced = found if found is not None else ()
    for name, spec in cls.tensor_fields.items():
        if spec.broadcast and name in layout.shapes and found is not None:
            viewed = cls.spread(name, layout.shapes[name], found)
            if viewed is None:
                layout.fault(name, f"shape {show(layout.shapes[name])} does not broadcast to {show(found)}")
            else:
                layout.spread[name] = viewed
    layout.elements = numel(layout.unreduced)
    layout.elements += sum(numel(layout.unreduced if name in layout.spread else shape) for name, shape in shapes)
    cls.arrange(layout)
    layout.classes = layout.size("C")
    layout.hollow = next((name for name, shape in shapes if is_hollow(shape)), None)
    if cls.stacking == "rows":
        _arrange_rows(cls, layout)
    elif cls.stacking == "elements":
        layout.trailing = tuple((name, ()) for name, _ in shapes)
    return layout


def _arrange_rows(cls: type[TensorRequest], layout: Layout) -> None:
    batch = layout.bound.get("N", layout.bound.get("*B", ()))
    layout.rows = numel(batch)
    layout.inner = layout.unreduced[len(batch) :]
    layout.shared = tuple(name for name in layout.shapes if not cls.tensor_fields[name].batched)
    layout.trailing = tuple(
        (name, shape if name in layout.shared else shape[len(batch) :]) for name, shape in layout.shapes.items()
    )
