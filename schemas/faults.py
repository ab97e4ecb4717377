"""Pydantic's validation errors as faults: a JSON pointer and a sentence each."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.nested import TensorFault
from schemas.problem import Fault, pointer

SUGGESTIONS = 8
"""Unknown members for which a like name is looked up: each takes as long as checking a small request."""


class Suggestions:
    """How many like names may still be looked up for one call."""

    __slots__ = ("left",)

    def __init__(self, left: int = SUGGESTIONS) -> None:
        self.left = left

    def like(self, name: str, known: Iterable[str]) -> str:
        """What to add to the fault of an unknown name: the known one that it may have meant, if any."""
        if not self.left:
            return ""
        self.left -= 1
        near = get_close_matches(name, known, 1)
        return f"; did you mean {near[0]}?" if near else ""


def faults_of(
    error: ValidationError, known: set[str] | None = None, suggestions: Suggestions | None = None
) -> list[Fault]:
    """Every fault of a validation error; `known` are the members that an unknown one may have meant."""
    items = error.errors(include_url=False)
    own = Suggestions() if suggestions is None else Suggestions(min(SUGGESTIONS, suggestions.left))
    before = own.left
    found = [_fault(item, known or set(), own) for item in items]
    if suggestions is not None:
        suggestions.left -= before - own.left
    return found


def _fault(item: ErrorDetails, known: set[str], suggestions: Suggestions) -> Fault:
    where = pointer(*item["loc"])
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, TensorFault):
        return Fault(where + cause.fault.pointer, cause.fault.detail, cause.fault.status)
    if item["type"] == "extra_forbidden":
        meant = suggestions.like(str(item["loc"][-1]), known) if known else ""
        return Fault(where, f"unknown member{meant}")
    if item["type"] == "missing":
        return Fault(where, "required, but missing")
    message = item["msg"]
    return Fault(where, message[0].lower() + message[1:])
