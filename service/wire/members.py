"""The members of a request, whichever form they came in, made into a checked request."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from typing_extensions import TypeVar

from schemas.faults import Suggestions, faults_of
from schemas.losses import ALIASES, ANY_LOSS, LOSSES, resolve
from schemas.problem import Fault, InvalidRequest, pointer
from schemas.request import LossRequest
from schemas.tensor import Reading, Tensor
from schemas.tensor_request import TensorRequest

R = TypeVar("R", bound=TensorRequest, default=LossRequest)

TWICE = "given twice: as a tensor, and among the other members"

LOSS_MAPS = frozenset(name for cls in LOSSES.values() for name in cls.maps)
"""Members that are objects of tensors in some loss."""

MAX_LISTED = 64
"""Entries of a list of tensors, such as `tail`: no loss takes as many."""


def validate(members: dict[str, Any], cls: type[R] | None, reading: Reading) -> R:
    """The checked request of these members: of class `cls`, or of the loss that `loss` names.

    Raises `InvalidRequest` with every fault.
    """
    if cls is None and type(members.get("loss", "")) is not str:
        # Not left to the union: it would write the whole value into its message, however large or deep.
        raise InvalidRequest([Fault("/loss", "a text is needed here: the loss's name")])
    validator = ANY_LOSS.validator if cls is None else cls.__pydantic_validator__
    try:
        return validator.validate_python(members, context=reading)  # type: ignore[no-any-return] # what its schema makes
    except InvalidRequest as error:
        known = cls or resolve(members["loss"])
        error.loss = None if known is None else known.name
        raise
    except ValidationError as error:
        raise InvalidRequest(_faults(error, members, reading.suggestions or Suggestions())) from None


def place(
    members: dict[str, Any], name: str, tensor: Tensor, faults: list[Fault], cls: type[TensorRequest] | None = None
) -> None:
    """Put a tensor of that name among the members of a request of that class, or for any loss.

    `tail.0.output` lies in a list of objects, `parameters.layer1.weight` in an object of tensors, `request.input` in a
    request for a loss. What is there already, or leaves a hole in a list, is a fault.
    """
    member, dot, rest = name.partition(".")
    if not dot:
        if name in members:
            faults.append(Fault(pointer(name), TWICE))
        else:
            members[name] = tensor
    elif member in (LOSS_MAPS if cls is None else cls.maps):
        _put(members.setdefault(member, {}), rest, tensor, faults, (member, rest))
    elif cls is not None and member in cls.nested:
        inner = members.setdefault(member, {})
        if type(inner) is dict:  # what else it is, validation tells
            found: list[Fault] = []
            place(inner, rest, tensor, found)
            faults += [fault._replace(pointer=pointer(member) + fault.pointer) for fault in found]
    else:
        _place_in_list(members, name, tensor, faults)


def _place_in_list(members: dict[str, Any], name: str, tensor: Tensor, faults: list[Fault]) -> None:
    listed, *path = name.split(".")
    if len(path) != 2 or not path[0].isascii() or not path[0].isdigit() or len(path[0]) > 3:
        faults.append(Fault(pointer(name), "unknown member"))
        return
    at, member = int(path[0]), path[1]
    entries = members.setdefault(listed, [])
    if type(entries) is not list or at >= MAX_LISTED:
        faults.append(Fault(pointer(listed, at), "no such entry"))
        return
    while len(entries) <= at:
        entries.append({})
    _put(entries[at], member, tensor, faults, (listed, at, member))


def _put(entries: Any, name: str, tensor: Tensor, faults: list[Fault], path: tuple[str | int, ...]) -> None:
    if type(entries) is not dict or name in entries:
        faults.append(Fault(pointer(*path), TWICE))
    else:
        entries[name] = tensor


def _faults(error: ValidationError, members: dict[str, Any], suggestions: Suggestions) -> list[Fault]:
    """What the union itself finds wrong: the loss's name."""
    kinds = {item["type"] for item in error.errors(include_url=False)}
    if "union_tag_not_found" in kinds:
        return [Fault("/loss", "required: the loss's name")]
    if "union_tag_invalid" in kinds:
        asked = members["loss"][:80]
        meant = suggestions.like(asked, (*LOSSES, *ALIASES)) or ";"
        names = f"{', '.join(LOSSES)}, and the torch.nn names of the same ({', '.join(list(ALIASES)[:2])}, ...)"
        return [Fault("/loss", f"there is no loss {asked!r}{meant} there are {names}")]
    return faults_of(error)
