"""A weighted sum of losses as one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field

from schemas.check import Checked, cotangent_of, dtype_of, gradients_of, reduction_of
from schemas.cotangents import check_cotangents
from schemas.dims import numel
from schemas.dtype import FLOATING, LARGEST, cast_floating, is_floating
from schemas.layout import MAX_EMPTY, Layout, is_hollow
from schemas.losses.composition import Composition
from schemas.named import NamedTensors
from schemas.problem import TOO_LARGE, Fault, pointer
from schemas.request import About
from schemas.tensor import Reading, Tensor
from schemas.terms import MAX_TERMS, Part, Term, parts_of


class Composite(Composition):
    """A weighted sum of losses over named tensors: one answer, with the value of each and the gradients of the sum."""

    about = About(
        family="composition",
        formula=r"\ell = \sum_i f_i \, \ell_i",
        mean="1: each term is reduced as it says itself",
        example={
            "tensors": {
                "logits": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]],
                "labels": [0, 2],
                "teacher": [[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]],
            },
            "terms": [
                {"loss": "cross_entropy", "factor": 0.7, "input": "logits", "target": "labels", "label_smoothing": 0.1},
                {"loss": "cross_entropy", "factor": 0.3, "name": "distilled", "input": "logits", "target": "teacher"},
            ],
        },
        notes=(
            "A term is a request for a loss whose tensors are names of `tensors`; its options, and its own `reduction` "
            "(mean, sum or batchmean), stand beside them. The tensors of an expression are those that its text names, "
            "or `tensors` tells which is which.",
            "`factor` is what the term is multiplied by. It is not called weight, which many losses have.",
            "The answer's `terms` has each term's name, its value before its factor, the factor, and the divisor of "
            "its mean.",
            "A term's gradients are those of its loss alone with its factor as cotangent; they are added up in the "
            "order of the terms.",
            "Left out, gradients are those in every tensor that is a prediction of some term. A tensor in which one of "
            "its terms has no gradient has none here.",
            "The loss is one number: the composite's own reduction changes nothing.",
            "No composite within a composite, and none where second derivatives or checks are asked for. Elements "
            "of all terms add up.",
        ),
        source="the caller",
    )
    unreduced: ClassVar[str] = "()"
    answered: ClassVar[str] = "those that are predictions of a term"
    made_of_losses: ClassVar[bool] = True
    varied: ClassVar[Mapping[str, tuple[Any, ...]]] = {"tensors": (), "terms": ()}
    twice_differentiable: ClassVar[bool] = False

    loss: Literal["composite"] = "composite"
    tensors: NamedTensors = Field(description="The tensors by name: what the terms name.")
    terms: list[Term] = Field(
        min_length=1, max_length=MAX_TERMS, description="The losses to add up: each a request over names of `tensors`."
    )

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The terms, as requests of their own. Checking puts it in place."""
        raise AttributeError("a request is made by validation, never by model_construct")

    def examine(self, reading: Reading, broken: set[str], faults: list[Fault]) -> Checked:
        """Each term is checked as the request that it is; what is wrong with one is told within `terms`."""
        cotangent = None if "cotangent" in broken else self.cotangent
        layout = Layout({name: tensor.array.shape for name, tensor in self.tensors.items()})
        layout.elements = sum(map(numel, layout.shapes.values())) + 1
        checked = Checked({}, layout, dtype_of(self, self.tensors, cotangent), max_elements=reading.max_elements)
        hollow = next((name for name, shape in layout.shapes.items() if is_hollow(shape)), None)
        if hollow is not None:
            detail = f"a tensor without elements may have at most {MAX_EMPTY} empty rows"
            faults.append(Fault(pointer("tensors", hollow), detail, TOO_LARGE))
            return checked
        if layout.elements > reading.max_elements:
            detail = f"the request needs {layout.elements} elements; the limit is {reading.max_elements}"
            faults.append(Fault("", detail, TOO_LARGE))
            return checked
        self._bring_to(checked)
        checked.count = checked.divisor = 1
        checked.reduction = reduction_of(self, checked)
        checked.gradients = gradients_of(self, checked, broken, faults)
        checked.cotangent = cotangent_of(cotangent, checked, faults)
        self.__dict__["parts"] = parts_of(self.terms, self.tensors, self.on_empty, checked, faults)
        if not faults:
            self._distribute(checked, faults)
        many: Tensor | None = self.cotangents
        if many is not None and not faults:
            check_cotangents(self, many, checked, faults)
        if not faults:
            for term, part in zip(self.terms, self.parts, strict=True):
                part.start(term.factor, checked)
        return checked

    def least_work(self, checked: Checked) -> int:
        """That of all terms."""
        return sum([part.request.least_work(part.request.checked) for part in self.parts])

    def _bring_to(self, checked: Checked) -> None:
        """Floating tensors in the one type; all others as they are."""
        wanted = FLOATING[checked.dtype]
        for name, tensor in self.tensors.items():
            if is_floating(tensor.array.dtype):
                tensor.array = cast_floating(tensor.array, wanted)
            checked.tensors[name] = tensor.array

    def _distribute(self, checked: Checked, faults: list[Fault]) -> None:
        """Choose the gradients of the sum; what the terms warn of and need is the composite's."""
        barred = {name: reason for part in reversed(self.parts) for name, reason in part.without_gradient().items()}
        if self.gradients is None:
            wanted = {name for part in self.parts for name in part.predicted()}
            for name in [name for name in self.tensors if name in wanted and name in barred]:
                checked.warnings.append(f"tensors.{name} has no gradient: {barred[name]}")
            checked.gradients = tuple([name for name in self.tensors if name in wanted and name not in barred])
        for at, name in enumerate(checked.gradients):
            if name in barred:
                faults.append(Fault(pointer("gradients", at), barred[name]))
        used = {name for part in self.parts for name in part.names.values()}
        checked.warnings.extend(f"tensors.{name} is in no term" for name in self.tensors if name not in used)
        for at, term in enumerate(self.terms):
            if abs(term.factor) > LARGEST[checked.dtype]:
                faults.append(Fault(pointer("terms", at, "factor"), f"beyond the range of {checked.dtype}"))
        for term, part in zip(self.terms, self.parts, strict=True):
            checked.warnings.extend(f"{term.told()}: {warning}" for warning in part.request.checked.warnings)
            checked.layout.elements += part.elements(self.workspace)
