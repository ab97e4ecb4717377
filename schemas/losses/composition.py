"""Losses of the caller's own: a formula, or a weighted sum of losses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from schemas.check import Checked, cotangent_of, dtype_of, gradients_of, reduction_of
from schemas.cotangents import check_cotangents
from schemas.dims import extent, numel
from schemas.dtype import FLOATING, LARGEST, cast_floating, is_floating
from schemas.expression import ExpressionFault, Program, extent_of, read
from schemas.expression.layout import ExpressionLayout
from schemas.expression.lexicon import MAX_TEXT
from schemas.field import TensorField
from schemas.layout import MAX_EMPTY, Layout, Shapes
from schemas.named import FIELD, MEMBER, NamedTensors, why_no_name
from schemas.nested import TensorFault
from schemas.problem import TOO_LARGE, Fault, pointer
from schemas.request import ABSENT, About, LossRequest
from schemas.tensor import Reading, Tensor
from schemas.terms import MAX_TERMS, Part, Term, parts_of

STEP_WORK = 128
"""Elements that a step on the way back counts as, however small its tensors are."""
MAX_CONSTANTS = 64
"""Constants of an expression."""


def _named(constants: dict[str, float]) -> dict[str, float]:
    if len(constants) > MAX_CONSTANTS:
        raise TensorFault(f"{len(constants)} constants; at most {MAX_CONSTANTS} are taken")
    for name in constants:
        reason = why_no_name(name)
        if reason:
            raise TensorFault(reason, name)
    return constants


class Expression(LossRequest):
    """A formula of the caller's own, over named tensors and constants."""

    about = About(
        family="composition",
        formula=r"\ell = f(x_1, \dots, x_n), \quad f \text{ as the expression says}",
        mean="the number of elements of the expression's result: 1 where that is a single number",
        example={
            "expression": "mean(where(abs(x - y) < d, 0.5 * (x - y)**2, d * (abs(x - y) - 0.5 * d)))",
            "tensors": {"x": [0.5, -1.0, 3.0], "y": [0.0, -1.5, 0.5]},
            "constants": {"d": 1.0},
        },
        notes=(
            "The language, all its functions and its bounds: docs/expressions.md.",
            "A result that is one number is the loss as it is: reduction mean and sum leave it. A larger one is "
            "reduced as any loss is.",
            "Tensors of integers and booleans are taken as floating-point numbers. Left out, gradients are those in "
            "all tensors but those that are typed as integers or booleans (plain lists of numbers are not typed).",
            "Both sides of where are computed: where the side that is not chosen is infinite or not a number, its "
            "gradient is not a number either. Keep its arguments within bounds (clamp, or where inside of it).",
            "Every step of the expression counts in the elements that the request needs.",
            "Never stacked with other requests.",
        ),
        source="the caller",
    )
    unreduced: ClassVar[str] = "*S"
    predictions: ClassVar[tuple[str, ...]] = ()
    maps: ClassVar[frozenset[str]] = frozenset((MEMBER,))
    varied: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "expression": (
            "d * logsumexp(x * y, dim=-1)",
            "softplus(x - d * y)",
            "sum(where(x < y, x * y, exp(-square(x - d))))",
            "-log_softmax(x, dim=0) * sigmoid(y) + d",
        ),
        "tensors": (),
        "constants": (),
    }

    loss: Literal["expression"] = "expression"
    expression: str = Field(
        min_length=1,
        max_length=MAX_TEXT,
        description="The formula: operators + - * / **, comparisons, and, or, not, and functions such as `mean`, "
        "`where`, `exp` and `logsumexp` over the names of tensors and constants.",
        examples=["mean(square(x - y))"],
    )
    tensors: NamedTensors = Field(description="The tensors by name, of any shapes; shapes broadcast as in PyTorch.")
    constants: Annotated[dict[str, float], AfterValidator(_named)] = Field(ABSENT, description="Numbers by name.")

    @cached_property
    def program(self) -> Program:
        """The expression, read. Asked of a sound request."""
        layout = self.checked.layout
        assert isinstance(layout, ExpressionLayout)  # noqa: S101 - `layout` made it
        assert layout.program is not None  # noqa: S101
        return layout.program

    @cached_property
    def floating(self) -> tuple[str, ...]:
        """The tensors that were not given as integers or booleans. Checking puts it in place."""
        raise AttributeError("a request is made by validation, never by model_construct")

    def examine(self, reading: Reading, broken: set[str], faults: list[Fault]) -> Checked:
        """As of any loss; which tensors are floating is told before they all are."""
        self.__dict__["floating"] = tuple(
            [name for name, one in self.tensors.items() if not one.typed or is_floating(one.array.dtype)]
        )
        return super().examine(reading, broken, faults)

    def layout(self, shapes: Shapes) -> Layout:
        """The shapes of all steps."""
        return _laid_out(self.expression, tuple(self.constants or ()), shapes)

    def arrays(self) -> dict[str, Tensor]:
        """By the names that the caller gave them."""
        return self.tensors

    @classmethod
    def fields_of(cls, given: dict[str, Tensor]) -> dict[str, TensorField]:
        """Each may have any shape."""
        return dict.fromkeys(given, FIELD)

    def default_gradients(self) -> tuple[str, ...]:
        """All that are floating."""
        return self.floating

    @classmethod
    def describe(cls, name: str, entry: dict[str, Any]) -> None:
        """The gradients that are answered when none are named."""
        if name == "gradients":
            entry["description"] += "all but those typed as integers or booleans."
        else:
            super().describe(name, entry)

    def least_work(self, checked: Checked) -> int:
        """Each step is a kernel."""
        layout = checked.layout
        steps = len(layout.program.nodes) if isinstance(layout, ExpressionLayout) and layout.program else 0
        return super().least_work(checked) + STEP_WORK * steps

    def numbers_used(self) -> tuple[float, ...]:
        """The numbers of the program's steps."""
        return self.program.numbers(self.constants or {})

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Numbers are within the type that is computed in; what is not used is told."""
        layout = checked.layout
        assert isinstance(layout, ExpressionLayout)  # noqa: S101 - `layout` made it
        program = layout.program
        if program is None:
            return
        constants = self.constants or {}
        computed_in = "float64" if checked.dtype == "float64" else "float32"
        twice = sorted(constants.keys() & self.tensors.keys())
        faults.extend(Fault(pointer("constants", name), f"{name} is a tensor already") for name in twice)
        for node, number in zip(program.nodes, program.numbers(constants), strict=True):
            if abs(number) > LARGEST[computed_in] and math.isfinite(number):
                detail = f"column {node.column}: {number:g} is beyond the range of {computed_in}"
                faults.append(Fault("/expression", detail))
        unused = [f"tensors.{name}" for name in self.tensors if name not in program.tensors]
        unused += [f"constants.{name}" for name in constants if name not in program.constants]
        checked.warnings.extend(f"{name} is not in the expression" for name in unused)


@lru_cache(maxsize=256)
def _laid_out(text: str, constants: tuple[str, ...], shapes: Shapes) -> ExpressionLayout:
    """The layout of an expression over tensors of these shapes: read-only once made, since requests share it."""
    layout = ExpressionLayout(dict(shapes))
    layout.elements = sum(numel(shape) for _, shape in shapes)
    hollow = [f"tensors.{name}" for name, shape in shapes if _is_hollow(shape)]
    layout.hollow = hollow[0] if hollow else None
    try:
        program = read(text, tuple([name for name, _ in shapes]), constants)
        found = extent_of(program, layout.shapes)
    except ExpressionFault as fault:
        layout.fault("expression", str(fault))
        return layout
    layout.program = program
    layout.unreduced = found.shape
    layout.elements += found.elements
    if not hollow and any(map(_is_hollow, found.shapes)):
        layout.hollow = "expression"
    return layout


def _is_hollow(shape: tuple[int, ...]) -> bool:
    return not numel(shape) and extent(shape) > MAX_EMPTY


class Composite(LossRequest):
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
    predictions: ClassVar[tuple[str, ...]] = ()
    maps: ClassVar[frozenset[str]] = frozenset((MEMBER,))
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

    def arrays(self) -> dict[str, Tensor]:
        """By the names that the caller gave them."""
        return self.tensors

    @classmethod
    def fields_of(cls, given: dict[str, Tensor]) -> dict[str, TensorField]:
        """What each may hold is its terms' to say."""
        return dict.fromkeys(given, FIELD)

    @classmethod
    def describe(cls, name: str, entry: dict[str, Any]) -> None:
        """The gradients that are answered when none are named."""
        if name == "gradients":
            entry["description"] += "those that are predictions of a term."
        else:
            super().describe(name, entry)

    def examine(self, reading: Reading, broken: set[str], faults: list[Fault]) -> Checked:
        """Each term is checked as the request that it is; what is wrong with one is told within `terms`."""
        cotangent = None if "cotangent" in broken else self.cotangent
        layout = Layout({name: tensor.array.shape for name, tensor in self.tensors.items()})
        layout.elements = sum(map(numel, layout.shapes.values())) + 1
        checked = Checked({}, layout, dtype_of(self, self.tensors, cotangent), max_elements=reading.max_elements)
        hollow = next((name for name, shape in layout.shapes.items() if _is_hollow(shape)), None)
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
