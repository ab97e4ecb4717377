"""The geometry of one request: everything that follows from its shapes alone, worked out once per set of shapes."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.dims import Bound, Shape, bind, expected, fits, numel, show, spell
from schemas.field import TensorField
from schemas.problem import Fault, pointer

Shapes = tuple[tuple[str, Shape], ...]


@dataclass(slots=True)
class Layout:
    """How the shapes of a request's tensors fit together.

    `form`: which alternative of the dims holds. `bound`: the sizes behind each name. `faults`: shapes that do not fit.
    `probabilities`: the class targets are probabilities. `unreduced`: the shape of the unreduced loss. `rows`: for losses
    stacked by rows, the number of them, and `inner` the dims of the unreduced loss in each. `spread`: for tensors that broadcast, the shape to view them in first.
    `elements`: the elements that the request needs, broadcasts expanded. `trailing`: what must be equal to stack.
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
    inner: Shape = ()
    trailing: tuple[tuple[str, Shape], ...] = ()

    def size(self, name: str) -> int | None:
        """The size behind a dim's name, or `None` where a fault left it unknown."""
        part = self.bound.get(name)
        return None if part is None else numel(part)

    def fault(self, name: str, detail: str) -> None:
        """Note that this tensor's shape does not fit."""
        self.faults.append(Fault(pointer(*name.split(".")), detail))

    def faulty(self, name: str) -> bool:
        """Whether this tensor's shape does not fit."""
        return any(fault.pointer == pointer(*name.split(".")) for fault in self.faults)

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
