"""Tensors that callers name themselves: `"tensors": {"x": ..., "y": ...}`."""

from __future__ import annotations

import keyword
import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator

from schemas.expression.functions import FUNCTIONS, NUMBERS
from schemas.field import Floats, TensorField, booleans
from schemas.nested import TensorFault
from schemas.tensor import MAX_TENSORS, Tensor

MEMBER: Final = "tensors"
"""The member that holds them."""
MAX_NAME: Final = 64
IDENTIFIER: Final = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_NAME - 1}}}", re.ASCII)
FIELD: Final[TensorField] = Floats("*S")
"""What is known of each: floating-point numbers of any shape."""


def why_no_name(name: str) -> str | None:
    """Why a tensor or a number cannot have this name, if it cannot."""
    if not IDENTIFIER.fullmatch(name):
        return f"a name is a letter or _, then letters, digits and _, at most {MAX_NAME} in all"
    if name in FUNCTIONS:
        return f"{name} is a function of expressions: choose another name"
    if keyword.iskeyword(name) or name in NUMBERS:
        return f"{name} is a word of expressions: choose another name"
    return None


def _named(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if not tensors:
        raise TensorFault("at least one tensor is needed")
    if len(tensors) > MAX_TENSORS:
        raise TensorFault(f"{len(tensors)} tensors; at most {MAX_TENSORS} are taken")
    for name in tensors:
        reason = why_no_name(name)
        if reason:
            raise TensorFault(reason, name)
    return tensors


NamedTensors = Annotated[dict[str, Annotated[Tensor, BeforeValidator(booleans)]], AfterValidator(_named)]
"""At least one tensor, each under a name."""
