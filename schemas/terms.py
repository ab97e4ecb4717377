"""The terms of a composite: requests for losses whose tensors are names."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from schemas.check import Checked, not_differentiable
from schemas.dtype import FLOATING, cast_floating
from schemas.expression import ExpressionFault, read
from schemas.faults import Suggestions
from schemas.named import MEMBER
from schemas.oip_tensors import listed, mapped
from schemas.problem import Fault, InvalidRequest, pointer
from schemas.request import LossRequest
from schemas.tensor import MAX_TENSORS, Reading, Tensor
from schemas.tensor_request import ABSENT

MAX_TERMS: Final = 16
"""Terms of a composite."""
MAX_NAME: Final = 128
"""Characters of a term's name."""
OWN: Final = frozenset(("loss", "factor", "name"))
"""Members of a term that are not its loss's: no loss has one of the last two."""
REFUSED: Final = {
    "gradients": "the composite says which gradients are wanted",
    "cotangent": "the composite has the cotangent; a term has a factor",
    "cotangents": "the composite has the cotangents; a term has a factor",
    "dtype": "all terms have the composite's dtype",
    "encoding": "the composite says how its answer is written",
    "size_average": "use reduction",
    "reduce": "use reduction",
}
"""Members of losses that no term has, and why."""


class Term(BaseModel):
    """One loss of a composite: a request for it, whose tensors are names."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    loss: str = Field(
        description="The loss: its name, or an alias. Its options stand beside it, and for each of its tensors the "
        "name of one of `tensors`."
    )
    factor: float = Field(1.0, description="What the loss is multiplied by.")
    name: str = Field(ABSENT, max_length=MAX_NAME, description="Its name in the answer; left out, the loss's.")

    def told(self) -> str:
        """Its name in the answer."""
        return self.name or self.loss


class Part(NamedTuple):
    """A term as a request of its own; `names`: for each of its tensors, which one of the composite's it is."""

    request: LossRequest
    names: dict[str, str]

    def predicted(self) -> set[str]:
        """The composite's tensors that are the loss's predictions."""
        return {self.names[one] for one in self.request.default_gradients() if one in self.names}

    def without_gradient(self) -> dict[str, str]:
        """The composite's tensors in which the loss has no gradient, and why."""
        request = self.request
        fields = request.fields_of(request.arrays())
        found = {}
        for one, name in self.names.items():
            reason = not_differentiable(request, one, fields[one], request.checked.layout)
            if reason:
                found[name] = reason
        return found

    def start(self, factor: float, composite: Checked) -> None:
        """Ask for the gradients that the composite has, from its cotangents times a factor."""
        checked = self.request.checked
        dtype = FLOATING[checked.dtype]
        checked.gradients = tuple([one for one, name in self.names.items() if name in composite.gradients])
        upstream = 1.0 if composite.cotangent is None else float(composite.cotangent)
        checked.cotangent = cast_floating(np.array(factor * upstream), dtype)
        if composite.cotangents is not None:
            many = [factor * float(one) for one in composite.cotangents]
            checked.cotangents = cast_floating(np.array(many, np.float64), dtype)

    def elements(self, workspace: int) -> int:
        """Its elements; of a formula that needs more room for each than the composite reckons with, more."""
        own = self.request
        return -(-own.checked.layout.elements * max(own.workspace, workspace) // workspace)


def parts_of(
    terms: list[Term],
    tensors: dict[str, Tensor],
    on_empty: Literal["nan", "zero", "error"],
    checked: Checked,
    faults: list[Fault],
) -> tuple[Part, ...]:
    """The terms as requests of their own; what is wrong with one is appended, with pointers into `/terms`.

    Each may need as many elements as the composite and the terms before it have left.
    """
    left = checked.max_elements - checked.layout.elements
    suggestions = Suggestions()
    found = []
    for at, term in enumerate(terms):
        given = term.model_extra or {}
        refused = [(name, reason) for name, reason in REFUSED.items() if name in given]
        faults.extend(Fault(pointer("terms", at, name), f"a term has none: {reason}") for name, reason in refused)
        members = {"on_empty": on_empty, **given, "dtype": checked.dtype}
        for name, _ in refused:
            if name != "dtype":
                del members[name]
        reading = Reading(max_elements=max(left, 0), suggestions=suggestions)
        part = _part(term.loss, members, tensors, reading, (at, faults))
        if part is not None:
            found.append(part)
            left -= part.request.checked.layout.elements
    return tuple(found)


Where = tuple[int, list[Fault]]
"""The place of a term, and where its faults go."""


def _part(
    loss: str, members: dict[str, Any], tensors: dict[str, Tensor], reading: Reading, where: Where
) -> Part | None:
    from schemas.losses import LOSSES, resolve  # noqa: PLC0415 - this module is on the way to that one

    at, faults = where
    before = len(faults)
    cls = resolve(loss)
    if cls is None or cls.name == "composite":
        detail = "a composite is no term of another"
        if cls is None:
            meant = reading.suggestions.like(loss[:80], LOSSES) if reading.suggestions else ""
            detail = f"there is no loss {loss[:80]!r}{meant}"
        faults.append(Fault(pointer("terms", at, "loss"), detail))
        return None
    if members.get("reduction") == "none":
        faults.append(Fault(pointer("terms", at, "reduction"), "a term is a number: none is no reduction of one"))
    names = _names(cls, members, tensors, reading, where)
    if len(faults) > before:
        return None
    try:
        request: LossRequest = cls.model_validate({"loss": loss, **members}, context=reading)
    except InvalidRequest as error:
        faults.extend(_moved(fault, at, cls, names) for fault in error.faults)
        return None
    return Part(request, names)


def _names(
    cls: type[LossRequest], members: dict[str, Any], tensors: dict[str, Tensor], reading: Reading, where: Where
) -> dict[str, str]:
    """Put the composite's tensors where a term has their names; which is which, by the term's own names for them."""
    found: dict[str, str] = {}
    suggestions = reading.suggestions or Suggestions()
    places = _places(cls, members, tensors)
    if len(places) > MAX_TENSORS:
        where[1].append(Fault(pointer("terms", where[0]), f"{len(places)} tensors; at most {MAX_TENSORS} are taken"))
        return found
    for holder, member, own in places:
        name = holder[member]
        tensor = tensors.get(name) if type(name) is str else None
        if tensor is None:
            where[1].append(Fault(pointer("terms", where[0], *own), _no_tensor(name, tensors, suggestions)))
            continue
        found[member if own[0] == MEMBER else ".".join(map(str, own))] = name
        holder[member] = Tensor(tensor.array, typed=tensor.typed, source=tensor.source)
    return found


Place = tuple[dict[str, Any], str, tuple[str | int, ...]]
"""An object, its member that names a tensor, and the path to it in the term."""


def _places(cls: type[LossRequest], members: dict[str, Any], tensors: dict[str, Tensor]) -> list[Place]:
    """Where names of tensors stand in a term; what is changed there is copied first."""
    found: list[Place] = [(members, member, (member,)) for member in cls.tensor_fields if member in members]
    for member, inner in listed(cls).items():
        if type(members.get(member)) is list:
            entries = members[member] = [dict(one) if type(one) is dict else one for one in members[member]]
            for at, entry in enumerate(entries):
                if type(entry) is dict:
                    found += [(entry, one, (member, at, one)) for one in inner if one in entry]
    if mapped(cls):
        given = members.get(MEMBER)
        if given is None:
            given = {name: name for name in _used(members, tensors)}
        if type(given) is dict:
            own = members[MEMBER] = dict(given)
            found += [(own, one, (MEMBER, one)) for one in own]
    return found


def _used(members: dict[str, Any], tensors: dict[str, Tensor]) -> list[str]:
    """The tensors that an expression names; all of them where it cannot be read."""
    text, constants = members.get("expression"), members.get("constants") or {}
    own = tuple([name for name in tensors if name not in constants]) if type(constants) is dict else tuple(tensors)
    if type(text) is not str:
        return list(own)
    try:
        program = read(text, own, tuple(constants) if type(constants) is dict else ())
    except ExpressionFault:
        return list(own)
    return [name for name in own if name in program.tensors]


def _no_tensor(name: Any, tensors: dict[str, Tensor], suggestions: Suggestions) -> str:
    known = ", ".join(list(tensors)[:20])
    if type(name) is not str:
        return f"the name of one of the tensors is needed here: {known}"
    return f"there is no tensor {name[:64]!r}{suggestions.like(name[:64], tensors)}; there are {known}"


def _moved(fault: Fault, at: int, cls: type[LossRequest], names: dict[str, str]) -> Fault:
    """A fault of a term, told in the composite: of a tensor's element, at the name that stands for the tensor."""
    for own, name in names.items():
        where = pointer(*cls.path_of(own).split("."))
        if fault.pointer.startswith(f"{where}/"):
            element = fault.pointer[len(where) + 1 :].replace("/", ", ")
            return fault._replace(
                pointer=pointer("terms", at) + where, detail=f"{name}, element [{element}]: {fault.detail}"
            )
    return fault._replace(pointer=pointer("terms", at) + fault.pointer)
