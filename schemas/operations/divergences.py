"""Entropies of distributions, and how far one is from another."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from schemas.check import Checked
from schemas.dims import Shape, numel, show
from schemas.field import Floats, TensorField
from schemas.operation import Operation, OperationAnswer
from schemas.problem import Fault, place, pointer
from schemas.tensor import Tensor
from schemas.tensor_request import ABSENT
from schemas.values import check_domain

MEASURES: Final = ("entropy", "cross_entropy", "kl", "reverse_kl", "jensen_shannon")


class EntropyAnswer(OperationAnswer):
    """The entropy, and the gradient where that was asked for."""

    entropy: Tensor = Field(description="H(p), of p's shape without the dim.")
    gradients: dict[str, Tensor] = Field(description="With a cotangent: `p`, of its shape. Else empty.")


class DivergencesAnswer(OperationAnswer):
    """Every measure, and the gradients where they were asked for."""

    entropy: Tensor = Field(description="H(p) = -sum(p log p). All measures have p's shape without the dim.")
    cross_entropy: Tensor = Field(description="H(p, q) = -sum(p log q) = H(p) + KL(p || q).")
    kl: Tensor = Field(description="KL(p || q) = sum(p (log p - log q)).")
    reverse_kl: Tensor = Field(description="KL(q || p).")
    jensen_shannon: Tensor = Field(
        description="(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2: symmetric, and at most log 2. Its square root "
        "is the Jensen-Shannon distance."
    )
    gradients: dict[str, Tensor] = Field(description="With cotangents: `p` and `q`, of their shapes. Else empty.")


class Distributions(Operation):
    """What is asked of one distribution or two, or of many at once."""

    family: ClassVar[str] = "divergences"
    unreduced: ClassVar[str] = "*D"
    workspace: ClassVar[int] = 16

    p: Annotated[Tensor, Floats("*D")] = Field(description="Distributions over the dim.")
    given: Literal["probabilities", "logits", "log_probabilities"] = Field(
        "probabilities",
        description="What the numbers are. `probabilities`: in [0, 1]. `logits`: scores of any size, which a softmax "
        "makes probabilities of. `log_probabilities`: logarithms (natural ones), `-Infinity` for 0. Gradients are in "
        "the numbers as they are given.",
    )
    dim: int = Field(-1, description="The dim that a distribution lies along; from the end if negative.")
    base: Literal["e", "2"] = Field("e", description="Of the logarithm: `e` answers nats, `2` bits.")

    def without_dim(self, shape: Shape) -> Shape:
        """A shape of distributions, as their measures have it."""
        at = self.dim % max(len(shape), 1)
        return shape[:at] + shape[at + 1 :]

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """The dim is there, along it lie distributions, and cotangents have the shape of what is answered."""
        shape = checked.tensors["p"].shape
        ndim = max(len(shape), 1)
        if not -ndim <= self.dim < ndim:
            faults.append(Fault("/dim", f"{self.dim} is no dim of a tensor that has {len(shape)}"))
            return
        wanted = self.without_dim(shape)
        for name, array in checked.tensors.items():
            if name.startswith("cotangent"):
                if array.shape != wanted:
                    detail = f"shape {show(array.shape)} is not the measure's, which is {show(wanted)}"
                    faults.append(Fault(place(name), detail))
            elif self.given != "logits":
                self._check_distributions(name, array, checked, faults)

    def _check_distributions(self, name: str, array: NDArray[Any], checked: Checked, faults: list[Fault]) -> None:
        """Probabilities are in [0, 1]. They add up to 1, as far as NumPy's generators ask: to the root of epsilon."""
        before = len(faults)
        if self.given == "probabilities":
            check_domain("unit", name, array, faults, checked.warnings)
        if len(faults) > before:
            return
        epsilon = float(ml_dtypes.finfo(array.dtype).eps)  # type: ignore[no-untyped-call] # ml_dtypes leaves it so
        numbers = array if array.dtype.itemsize > 2 else array.astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.given == "log_probabilities":
                numbers = np.exp(numbers)
            sums = numbers.sum(axis=self.dim if array.ndim else None, dtype=np.float64)
            odd = ~(np.abs(sums - 1) <= epsilon**0.5)
        if odd.any():
            count = int(np.count_nonzero(odd))
            checked.warnings.append(f"{name}: {count} of {odd.size} do not add up to 1; computed as they are")


class Entropy(Distributions):
    """The entropy of distributions, and its gradient."""

    name: ClassVar[str] = "entropy"
    path: ClassVar[str] = "/v1/entropy"
    description: ClassVar[str] = (
        "`H(p) = -sum(p log p)` over the dim, with `0 log 0 = 0`. Where p is 0 the gradient of its term is taken to be "
        "0: its limit is infinite."
    )
    example: ClassVar[dict[str, Any]] = {"p": [[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]], "base": "2"}
    answer: ClassVar[type[BaseModel]] = EntropyAnswer

    cotangent: Annotated[Tensor, Floats("*E")] = Field(
        ABSENT, description="The upstream gradient v, of the entropy's shape: asks for the gradient in `p`."
    )

    def numbers(self) -> int:
        """The entropy, and a gradient."""
        shape = self.checked.tensors["p"].shape
        return numel(self.without_dim(shape)) + numel(shape) * ("cotangent" in self.checked.tensors)


class Divergences(Distributions):
    """Entropy, cross entropy, Kullback-Leibler both ways and Jensen-Shannon of two distributions."""

    name: ClassVar[str] = "divergences"
    path: ClassVar[str] = "/v1/divergences"
    description: ClassVar[str] = (
        "All of them at once, each by its own formula, so that `H(p, q) = H(p) + KL(p || q)` up to rounding.\n\n"
        "`0 log 0 = 0`, and `0 log(0 / 0) = 0`. Where q is 0 and p is not, cross entropy and KL(p || q) are infinite. "
        "Where a weight is 0 and its logarithm infinite, the gradient of that term is taken to be 0."
    )
    example: ClassVar[dict[str, Any]] = {
        "p": [[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]],
        "q": [[0.25, 0.25, 0.5], [0.5, 0.5, 0.0]],
        "base": "2",
        "cotangents": {"kl": [1.0, 1.0]},
    }
    answer: ClassVar[type[BaseModel]] = DivergencesAnswer
    maps: ClassVar[frozenset[str]] = frozenset(("cotangents",))

    q: Annotated[Tensor, Floats("*D")] = Field(description="The distributions that p is compared with.")
    cotangents: dict[str, Tensor] = Field(
        default_factory=dict,
        description="Upstream gradients by the measure's name, each of the measure's shape: asks for the gradients, in "
        "`p` and `q`, of the sum of all measures named, weighted by them.",
    )

    @classmethod
    def fields_of(cls, given: dict[str, Tensor]) -> dict[str, TensorField]:
        """Cotangents are floating-point tensors."""
        return {**cls.tensor_fields, **{name: Floats("*E") for name in given if name not in cls.tensor_fields}}

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Cotangents are those of measures."""
        super().check(checked, faults)
        faults += [
            Fault(pointer("cotangents", name), f"there is no such measure; there are {', '.join(MEASURES)}")
            for name in self.cotangents
            if name not in MEASURES
        ]

    def numbers(self) -> int:
        """The measures, and two gradients."""
        shape = self.checked.tensors["p"].shape
        return len(MEASURES) * numel(self.without_dim(shape)) + 2 * numel(shape) * bool(self.cotangents)
