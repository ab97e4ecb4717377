"""Losses of the caller's own: a formula, or a weighted sum of losses."""

from __future__ import annotations

from typing import Any, ClassVar

from schemas.field import TensorField
from schemas.named import FIELD, MEMBER
from schemas.request import LossRequest
from schemas.tensor import Tensor


class Composition(LossRequest):
    """What losses over named tensors have: those tensors, in the member `tensors` that each describes itself."""

    predictions: ClassVar[tuple[str, ...]] = ()
    maps: ClassVar[frozenset[str]] = frozenset((MEMBER,))
    answered: ClassVar[str]
    """The gradients that are answered when none are named, in words."""

    def arrays(self) -> dict[str, Tensor]:
        """By the names that the caller gave them."""
        found: dict[str, Tensor] = self.__dict__[MEMBER]
        return found

    @classmethod
    def path_of(cls, name: str) -> str:
        """In the object of tensors, whatever member else has that name."""
        return f"{MEMBER}.{name}"

    @classmethod
    def fields_of(cls, given: dict[str, Tensor]) -> dict[str, TensorField]:
        """Each may have any shape; what it holds is the formula's, or the terms', to say."""
        return dict.fromkeys(given, FIELD)

    @classmethod
    def describe(cls, name: str, entry: dict[str, Any]) -> None:
        """The gradients that are answered when none are named."""
        if name == "gradients":
            entry["description"] += f"{cls.answered}."
        else:
            super().describe(name, entry)
