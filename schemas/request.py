"""One request: a loss, its tensors and its options.

`LossRequest` is the base of every loss's own class (in `schemas.losses`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from schemas.check import Checked, check
from schemas.contributing import contributing
from schemas.cotangents import LEAST_WORK, MAX_COTANGENTS
from schemas.dims import numel
from schemas.problem import Fault
from schemas.tensor import Reading, Tensor
from schemas.tensor_request import ABSENT, Stacking, TensorRequest

if TYPE_CHECKING:
    from schemas.vectors.drawing import Drawing

Reduction = Literal["none", "mean", "sum"]
Predicted = Literal["logits", "log_probabilities", "probabilities", "values"]
"""What a loss takes its `input` for: of classes in dim 1, or of each element."""


def _of_64_bits(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise PydanticCustomError("int64", "must be a whole number of 64 bits")
    return value


Int64 = Annotated[int, AfterValidator(_of_64_bits), Field(json_schema_extra={"format": "int64"})]
"""A whole number that torch takes: bounds in the schema itself would be literals that generated Java cannot hold."""


@dataclass(frozen=True, slots=True)
class About:
    """What the catalogue tells of a loss besides its fields."""

    family: str
    formula: str
    mean: str
    example: dict[str, Any]
    notes: tuple[str, ...] = ()
    source: str = "torch.nn.functional"


class LossRequest(TensorRequest):
    """The members that every loss has."""

    about: ClassVar[About]
    predictions: ClassVar[tuple[str, ...]] = ("input",)
    """The tensors that `gradients` names when it is left out, as far as they are there."""
    made_of_losses: ClassVar[bool] = False
    """Whether it has no formula of its own, but is computed by others."""
    extra_answers: ClassVar[tuple[str, ...]] = ()
    """What is answered beside the loss and its gradients: tensors of the unreduced loss's shape."""
    varied: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """What test vectors give an option where its schema does not tell what would go; nothing: it is not tried alone."""
    aliases: ClassVar[tuple[str, ...]]
    twice_differentiable: ClassVar[bool] = True
    """Whether torch differentiates its gradients again (tests/compute/test_second_order.py tries)."""
    normalised: ClassVar[tuple[str, ...]] = ()
    """Log-probabilities whose gradient holds the backward step of the log_softmax before them (over the last dim)."""

    reduction: Reduction = Field(
        "mean", description="`none` answers the unreduced loss; `mean` divides as the catalogue says; `sum` adds up."
    )
    gradients: list[str] = Field(
        ABSENT,
        description="The tensors to answer gradients for: any floating-point tensor of the request in which PyTorch "
        "differentiates the loss. An empty list asks for the loss alone, without a backward pass. Left out: ",
    )
    cotangent: Tensor = Field(
        ABSENT,
        description="The upstream gradient v, of exactly the shape of the answered loss (0-d for `mean` and `sum`); "
        "gradients are then v-Jacobian products. Ones if left out.",
    )
    cotangents: Tensor = Field(
        ABSENT,
        description=f"Up to {MAX_COTANGENTS} upstream gradients at once, in place of `cotangent`: K times the shape of "
        "the answered loss, K in front. Each gradient then has K in front too: the products with each of them.",
    )
    on_empty: Literal["nan", "zero", "error"] = Field(
        "nan", description="What `mean` is when nothing contributes: NaN as in PyTorch, zero, or a 422 problem."
    )
    size_average: bool = Field(ABSENT, deprecated="Use reduction.", description="Mapped as PyTorch maps it.")
    reduce: bool = Field(ABSENT, deprecated="Use reduction.", description="Mapped as PyTorch maps it.")

    predicts: ClassVar[Predicted | None] = None
    """What `input` holds, where metrics can be made of it and `target`."""

    @classmethod
    def drawn(cls, drawing: Drawing, members: dict[str, Any]) -> None:
        """Put right what was drawn for a test vector, where tensors hang together beyond their dims."""

    def mean_divides(self, checked: Checked) -> int | None:
        """What `mean` divides by, where that is a count; `None` where the formula tells it, from weights."""
        return checked.count

    def contributes(self) -> NDArray[np.bool_] | None:
        """Which elements of the unreduced loss contribute, in its shape; `None` where that is not told of each."""
        return contributing(self)

    def shares(self) -> NDArray[np.float64] | None:
        """What each element adds to `mean`'s divisor, in the unreduced loss's shape, where it is the class that knows.

        `None`: as the formula tells it, or else 1 for each that contributes. Evaluation runs add up divisors by sample:
        the share of a row of many elements may stand in its first. One that is ignored may have a share.
        """
        return None

    @classmethod
    def run_faults(cls, options: Mapping[str, Any]) -> list[Fault]:
        """Which options no evaluation run can have: its divisors and values are added up over its batches."""
        return []

    @classmethod
    def void_without_elements(cls, options: Mapping[str, Any]) -> bool:
        """Whether a mean is of nothing where no element contributes, though what is ignored has shares (see `shares`).

        Asked of an evaluation run's options: one batch does not know whether others bring elements.
        """
        return False

    def least_work(self, checked: Checked) -> int:
        """Elements that one backward pass counts as, however small its tensors are."""
        return LEAST_WORK

    def once_only(self) -> str | None:
        """Why there are no second derivatives of this request, if there are none."""
        return (
            None if self.twice_differentiable else f"PyTorch does not differentiate the gradient of {self.name} again"
        )

    def default_gradients(self) -> tuple[str, ...]:
        """The loss's predictions (and parameters): what `gradients` is when left out, as far as it is there."""
        return self.predictions

    def examine(self, reading: Reading, broken: set[str], faults: list[Fault]) -> Checked:
        """All that losses have in common."""
        return check(self, reading, broken, faults)

    def numbers(self) -> int:
        """Numbers of the loss, the gradients and what is answered beside them."""
        checked = self.checked
        values = numel(checked.layout.unreduced)
        found = values * len(self.extra_answers) + (values if checked.reduction == "none" else 1)
        times = 1 if checked.cotangents is None else len(checked.cotangents)
        return found + times * sum([numel(checked.tensors[name].shape) for name in checked.gradients])

    # What is derived from a subclass's fields, once.

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "loss" in cls.model_fields:
            cls.name, *others = cls.model_fields["loss"].annotation.__args__  # type: ignore[union-attr]
            cls.aliases = tuple(others)

    @classmethod
    def describe(cls, name: str, entry: dict[str, Any]) -> None:
        """The names of the loss, and the gradients that are answered when none are named."""
        if name == "loss":
            entry["description"] = f"The loss: {' or '.join(f'`{one}`' for one in (cls.name, *cls.aliases))}."
        if name == "gradients":
            if all(cls.model_fields[prediction].is_required() for prediction in cls.predictions):
                entry["default"] = list(cls.predictions)
            entry["description"] += f"{', '.join(cls.predictions)}, as far as they are there."


LossRequest.common = frozenset((*LossRequest.model_fields, "loss"))

__all__ = ["ABSENT", "About", "Int64", "LossRequest", "Reduction", "Stacking"]
