"""What a loss says of each of its tensors, beside the field: `input: Annotated[Tensor, Floats("C | N C *D")]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from schemas.dims import Form, forms

Domain = Literal["any", "unit", "usually_unit", "usually_sign", "usually_binary"]
Differentiable = Literal["always", "never", "with probabilities"]

# What a domain asks of the values: "usually" ones are computed as torch does, with a warning in the answer.
DOMAINS: dict[Domain, str] = {
    "unit": "in [0, 1]",
    "usually_unit": "usually in [0, 1]",
    "usually_sign": "1 or -1",
    "usually_binary": "0 or 1",
}


@dataclass(frozen=True, slots=True)
class TensorField:
    """The contract of one tensor: its dims in every form of the loss, its values, and whether it has a gradient.

    `broadcast` tensors need not have the loss's shape, only expand to it; `probabilities` are the dims that make class
    targets probabilities instead of indices; `chooses`: a mask whose zeros take part as its ones do, in another way.
    """

    dims: str
    kind: Literal["floating", "index", "integer", "mask"] = "floating"
    domain: Domain = "any"
    differentiable: Differentiable = "always"
    broadcast: bool = False
    probabilities: str = ""
    chooses: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """As a tensor's; a mask may also be nested lists of `true` and `false`, which are no numbers elsewhere."""
        schema = handler(source)
        return core_schema.no_info_before_validator_function(booleans, schema) if self.kind == "mask" else schema

    def form(self, at: int) -> Form:
        """The tokens of the form at that position; a tensor with one form has it everywhere."""
        alternatives = forms(self.dims)
        return alternatives[min(at, len(alternatives) - 1)]

    @property
    def batched(self) -> bool:
        """Whether the tensor has rows that can be stacked: its batched form starts with `N` or `*B`."""
        form = forms(self.dims)[-1]
        return bool(form) and form[0] in ("N", "*B")

    def allowed(self) -> str:
        """The values that it may have, in words."""
        return DOMAINS.get(self.domain, "any")

    def describe(self) -> str:
        """Shape, values and type in words, for the reference."""
        shapes = " or ".join(f"`{part.strip()}`" for part in self.dims.split("|"))
        words = [f"Shape {shapes}" + (", or one that broadcasts to it" if self.broadcast else "")]
        if self.kind == "index":
            words.append("class indices of any integer type")
            if self.probabilities:
                shapes = " or ".join(f"`{part.strip()}`" for part in self.probabilities.split("|"))
                words.append(f"or class probabilities of shape {shapes}")
        elif self.kind == "integer":
            words.append("any integer type")
        elif self.kind == "mask":
            words.append("booleans, or whole numbers 0 and 1")
        if self.domain in DOMAINS:
            words.append(f"values {DOMAINS[self.domain]}")
        return ", ".join(words) + "."


def booleans(value: Any) -> Any:
    """The array of nested lists of booleans alone; all else as it is, to be read like any tensor."""
    first = value
    while type(first) is list and first:
        first = first[0]
    if type(first) is not bool:
        return value
    try:
        array = np.array(value)
    except ValueError:  # ragged
        return value
    return array if array.dtype == np.bool_ else value


def Floats(dims: str, *, differentiable: Differentiable = "always", broadcast: bool = False) -> TensorField:  # noqa: N802
    """Any floating-point values."""
    return TensorField(dims, differentiable=differentiable, broadcast=broadcast)


def Probabilities(dims: str) -> TensorField:  # noqa: N802
    """Values in [0, 1]; anything else, NaN included, is refused."""
    return TensorField(dims, domain="unit")


def Signs(dims: str, *, differentiable: Differentiable = "never") -> TensorField:  # noqa: N802
    """Values that ought to be 1 or -1."""
    return TensorField(dims, domain="usually_sign", differentiable=differentiable)


def Indices(dims: str, *, probabilities: str = "") -> TensorField:  # noqa: N802
    """Class indices; or, in the dims of `probabilities`, class probabilities (the only ones with a gradient)."""
    return TensorField(
        dims,
        kind="index",
        domain="usually_unit" if probabilities else "any",
        differentiable="with probabilities" if probabilities else "never",
        probabilities=probabilities,
    )


def Integers(dims: str) -> TensorField:  # noqa: N802
    """Whole numbers that are no class indices of the input's classes: lengths, padded labels."""
    return TensorField(dims, kind="integer", differentiable="never")


def Mask(dims: str, *, broadcast: bool = False) -> TensorField:  # noqa: N802
    """What takes part (1) and what does not (0). In the dims of the unreduced loss, its zeros are ignored elements."""
    return TensorField(dims, kind="mask", differentiable="never", broadcast=broadcast)


def Flags(dims: str) -> TensorField:  # noqa: N802
    """Which of two kinds each element is, 1 or 0; both contribute."""
    return TensorField(dims, kind="mask", differentiable="never", chooses=True)
