"""The shapes of all steps of a program, by arithmetic: nothing is allocated before all limits are known to hold."""

from __future__ import annotations

from typing import NamedTuple

from schemas.dims import Shape, numel, show
from schemas.expression.fault import ExpressionFault
from schemas.expression.functions import FUNCTIONS
from schemas.expression.program import Node, Program


class Extent(NamedTuple):
    """The shape of the result; the elements of all steps; and the shapes of them, to be looked at for empty rows."""

    shape: Shape
    elements: int
    shapes: tuple[Shape, ...]


def extent_of(program: Program, tensors: dict[str, Shape]) -> Extent:
    """What a program makes of tensors of these shapes. Raises `ExpressionFault`."""
    shapes: list[Shape] = []
    elements = 0
    for node in program.nodes:
        if node.op == "tensor":
            shapes.append(tensors[str(node.value)])
            continue
        inner = [shapes[at] for at in node.args if at is not None]
        function = FUNCTIONS.get(node.op)
        if node.kind == "number":
            shapes.append(())
            continue
        if function is not None and function.rule == "reduction":
            shape = _reduced(node, inner[0])
            elements += numel(inner[0])  # logsumexp and norm make as many on the way
        elif function is not None and function.rule == "along":
            _axes(node, len(inner[0]))
            shape = inner[0]
        else:
            shape = _broadcast(node, inner)
        shapes.append(shape)
        elements += numel(shape)
    return Extent(shapes[-1], elements, tuple(shapes))


def _broadcast(node: Node, shapes: list[Shape]) -> Shape:
    """The shape that all expand to."""
    found = shapes[0] if shapes else ()
    for shape in shapes[1:]:
        if shape == found or not shape:
            continue
        rank = max(len(found), len(shape))
        left = (1,) * (rank - len(found)) + found
        right = (1,) * (rank - len(shape)) + shape
        if any(a not in (b, 1) and b != 1 for a, b in zip(left, right, strict=True)):
            told = " and ".join(show(one) for one in shapes if one)
            raise ExpressionFault(node.column, f"the shapes {told} do not broadcast")
        found = tuple([b if a == 1 else a for a, b in zip(left, right, strict=True)])
    return found


def _axes(node: Node, rank: int) -> set[int]:
    """The axes that a step names, counted from the first. A 0-d tensor has one, of which nothing remains."""
    named = node.dim if isinstance(node.dim, tuple) else () if node.dim is None else (node.dim,)
    bound = max(rank, 1)
    found: set[int] = set()
    for axis in named:
        if not -bound <= axis < bound:
            raise ExpressionFault(node.column, f"dim {axis} is not among the {rank} dims here")
        if axis % bound in found:
            raise ExpressionFault(node.column, f"dim {axis} is named twice")
        found.add(axis % bound)
    return found if named else set(range(rank))


def _reduced(node: Node, shape: Shape) -> Shape:
    axes = _axes(node, len(shape))
    largest = node.op in ("amax", "amin") or (node.op == "norm" and node.value == float("inf"))
    if largest and any(shape[axis] == 0 for axis in axes if axis < len(shape)):
        raise ExpressionFault(node.column, f"there is no {node.op} of nothing: the shape here is {show(shape)}")
    if node.keepdim:
        return tuple([1 if axis in axes else size for axis, size in enumerate(shape)])
    return tuple([size for axis, size in enumerate(shape) if axis not in axes])
