"""An expression that has been read: its nodes, each after those that it is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

Kind = Literal["number", "value", "truth"]
Dims = int | tuple[int, ...] | None


class Node(NamedTuple):
    """One step.

    `args` are the positions of other nodes. `kind`: a number, which is known before anything is computed; a tensor of
    the request's type; or a tensor of truths. `value` is a literal's number, or the name of a tensor or constant.
    `column` is where it stands in the text.
    """

    op: str
    args: tuple[int | None, ...]
    kind: Kind
    value: float | str | None = None
    dim: Dims = None
    keepdim: bool = False
    column: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """The nodes of an expression; the last one is its result. Equal steps are one node.

    `tensors` and `constants` are the names that it uses.
    """

    nodes: tuple[Node, ...]
    tensors: frozenset[str]
    constants: frozenset[str]
    plain: tuple[float, ...] | None
    """The numbers, where no constant is among them."""

    def numbers(self, constants: dict[str, float]) -> tuple[float, ...]:
        """The value of each node that is a number, 0 for all others."""
        return self.plain if self.plain is not None else numbers_of(self.nodes, constants)


def numbers_of(nodes: tuple[Node, ...], constants: dict[str, float]) -> tuple[float, ...]:
    """The value of each node that is a number, 0 for all others; as IEEE arithmetic has it."""
    found: list[float] = []
    for op, args, kind, value, *_ in nodes:
        if kind != "number":
            found.append(0.0)
        elif op == "number":
            found.append(value)  # type: ignore[arg-type] # a literal's value is its number
        elif op == "constant":
            found.append(float(constants[value]))  # type: ignore[index] # a constant's value is its name
        else:
            found.append(_arithmetic(op, *[found[at] for at in args]))  # type: ignore[index] # none is left out
    return tuple(found)


def _arithmetic(op: str, x: float, y: float = 0.0) -> float:
    if op == "neg":
        return -x
    if op == "add":
        return x + y
    if op == "sub":
        return x - y
    if op == "mul":
        return x * y
    try:
        found: Any = x / y if op == "div" else x**y
    except ZeroDivisionError:
        return math.nan if math.isnan(x) or (op == "div" and x == 0) else math.copysign(math.inf, _sign(op, x, y))
    except OverflowError:
        return math.copysign(math.inf, _sign(op, x, y))
    return math.nan if isinstance(found, complex) else float(found)


def _sign(op: str, x: float, y: float) -> float:
    """What has the sign of an infinite quotient or power."""
    if op == "div":
        return math.copysign(1, x) * math.copysign(1, y)
    return x if y % 2 == 1 else 1.0


ARITHMETIC: Final = ("add", "sub", "mul", "div", "pow", "neg")
"""What is worked out of numbers as such; any other function of them is a 0-d tensor."""
