"""A formula of the caller's own as a loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from schemas.check import Checked
from schemas.dims import numel
from schemas.dtype import LARGEST, is_floating
from schemas.expression import ExpressionFault, Program, extent_of, read
from schemas.expression.layout import ExpressionLayout
from schemas.expression.lexicon import MAX_TEXT
from schemas.layout import Layout, Shapes, is_hollow
from schemas.losses.composition import Composition
from schemas.named import NamedTensors, why_no_name
from schemas.nested import TensorFault
from schemas.problem import Fault, pointer
from schemas.request import ABSENT, About
from schemas.tensor import Reading

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


class Expression(Composition):
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
    answered: ClassVar[str] = "all but those typed as integers or booleans"
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

    def default_gradients(self) -> tuple[str, ...]:
        """All that are floating."""
        return self.floating

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
    hollow = [f"tensors.{name}" for name, shape in shapes if is_hollow(shape)]
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
    if not hollow and any(map(is_hollow, found.shapes)):
        layout.hollow = "expression"
    return layout
