"""Gradients of a caller's formula without autograd's graph, where each of its steps has a rule here.

Recording a graph of many small steps takes longer than computing them, and autograd spreads a mean's gradient over all
elements before it does anything else (docs/adr/0019-expressions.md). A gradient here may be smaller than its tensor:
then it is the same along the dims that it lacks. A program with a step that has no rule is differentiated by autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from schemas.expression import Node, Program
from service.losses.formula import Tensors

LARGE: Final = 8192
"""Elements from which on several passes of whole vectors are quicker than torch's selection between a tensor and one
number, which goes element by element (benchmarks/results.md, "Expressions")."""
BITS: Final = {torch.float32: torch.int32, torch.float64: torch.int64}
"""Whole numbers as wide as each type."""

Parts = tuple[Tensor | None, ...]
Rule = Callable[[Tensor, Tensor, Any], Parts]
"""From the gradient in a step's result, the result and the arguments to the gradients in the arguments."""


def where(condition: Tensor, x: Any, y: Any) -> Tensor:
    """torch.where."""
    if condition.numel() >= LARGE and not torch.is_grad_enabled():
        if type(x) is float:
            x = torch.full_like(y, x)
        elif type(y) is float:
            y = torch.full_like(x, y)
    return torch.where(condition, x, y)


def split(condition: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """A gradient where the condition holds and 0 elsewhere, and the other way round; an infinite one too."""
    if condition.numel() < LARGE or condition.device.type != "cpu":
        return torch.where(condition, gradient, 0.0), torch.where(condition, 0.0, gradient)
    kind, bits = gradient.dtype, BITS[gradient.dtype]
    mask = condition.to(bits).neg_()  # -1 has all bits
    given = gradient.contiguous().view(bits)
    held = torch.bitwise_and(mask, given)
    return held.view(kind), torch.bitwise_xor(held, given).view(kind)


def _pow(g: Tensor, _out: Tensor, args: Any) -> Parts:
    x, p = args
    if p == 0:
        return torch.zeros_like(x), None
    return g * (x * 2.0 if p == 2 else p * torch.pow(x, p - 1)), None


def _mul(g: Tensor, _out: Tensor, args: Any) -> Parts:
    x, y = args
    return (g * y if isinstance(x, Tensor) else None), (g * x if isinstance(y, Tensor) else None)


def _div(g: Tensor, out: Tensor, args: Any) -> Parts:
    left = g / args[1]
    return left, (-left * out if isinstance(args[1], Tensor) else None)


def _where(g: Tensor, _out: Tensor, args: Any) -> Parts:
    return None, *split(args[0], g)


RULES: Final[dict[str, Rule]] = {
    "same": lambda g, _out, _x: (g,),
    "add": lambda g, _out, _x: (g, g),
    "sub": lambda g, _out, x: (g, -g if isinstance(x[1], Tensor) else None),
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "neg": lambda g, _out, _x: (-g,),
    "where": _where,
    "abs": lambda g, _out, x: (g * torch.sign(x[0]),),
    "square": lambda g, _out, x: (g * (x[0] * 2.0),),
    "sqrt": lambda g, out, _x: (g / (out * 2.0),),
    "exp": lambda g, out, _x: (g * out,),
    "expm1": lambda g, out, _x: (g * (out + 1.0),),
    "log": lambda g, _out, x: (g / x[0],),
    "log1p": lambda g, _out, x: (g / (x[0] + 1.0),),
    "sigmoid": lambda g, out, _x: (g * (out * (1.0 - out)),),
    "tanh": lambda g, out, _x: (g * (1.0 - out * out),),
    "logsigmoid": lambda g, _out, x: (g * torch.sigmoid(-x[0]),),
    "softplus": lambda g, _out, x: (g * torch.sigmoid(x[0]),),
    "relu": lambda g, out, _x: (split(out <= 0, g)[1],),
    "sum": lambda g, _out, _x: (g,),
    "mean": lambda g, _out, x: (g / x[0].numel(),),
}


class Back(NamedTuple):
    """A step on the way back: its rule, its own place, its arguments' places, and which of these are on the way."""

    rule: Rule
    at: int
    args: tuple[int, ...]
    wanted: tuple[int, ...]


class Rules(NamedTuple):
    """The way back from a program's result to some of its tensors."""

    steps: tuple[Back, ...]
    leaves: dict[str, int]


@lru_cache(maxsize=256)
def rules_of(program: Program, wanted: tuple[str, ...]) -> Rules | None:
    """The way back to these tensors; `None` where a step has no rule."""
    nodes = program.nodes
    on_the_way: list[bool] = []
    steps: list[Back] = []
    leaves: dict[str, int] = {}
    for at, node in enumerate(nodes):
        args = tuple([arg for arg in node.args if arg is not None])
        if node.op == "tensor" and node.value in wanted:
            leaves[str(node.value)] = at
        held = node.op == "tensor" and node.value in wanted
        held = held or (_passes(node) and any(on_the_way[arg] for arg in args))
        on_the_way.append(held)
        if not held or node.op == "tensor":
            continue
        if not _has_rule(node, nodes):
            return None
        steps.append(Back(RULES[node.op], at, args, tuple([i for i, arg in enumerate(args) if on_the_way[arg]])))
    return Rules(tuple(reversed(steps)), leaves)


def _passes(node: Node) -> bool:
    """Whether a gradient can pass through a step."""
    return node.kind == "value" and node.op not in ("stop_gradient", "sign", "value", "scalar")


def _has_rule(node: Node, nodes: tuple[Node, ...]) -> bool:
    if node.op in ("sum", "mean"):
        return node.dim is None and not node.keepdim
    if node.op == "pow":
        return nodes[node.args[0] or 0].kind == "value" and nodes[node.args[1] or 0].kind == "number"
    return node.op in RULES


def backward(rules: Rules, found: list[Any], scale: Tensor, tensors: Tensors, wanted: tuple[str, ...]) -> Tensors:
    """The gradients in the wanted tensors, from what the gradient in the result starts from."""
    gradients: list[Tensor | None] = [None] * len(found)
    gradients[-1] = scale
    with torch.no_grad():
        for rule, at, args, on_the_way in rules.steps:
            gradient = gradients[at]
            if gradient is None:
                continue
            gradients[at] = None
            out = found[at]
            parts = rule(gradient, out, [found[arg] for arg in args])
            reduced = not out.dim() and rule in _REDUCTIONS
            for i in on_the_way:
                part, arg = parts[i], args[i]
                assert part is not None  # noqa: S101 - an argument on the way is a tensor
                shape = found[arg].shape
                if shape != out.shape and not reduced:
                    part = part.expand(out.shape).sum_to_size(shape)
                known = gradients[arg]
                gradients[arg] = part if known is None else known + part
        answer = {}
        for name in wanted:
            leaf, tensor = rules.leaves.get(name), tensors[name]
            own = None if leaf is None else gradients[leaf]
            if own is None:
                answer[name] = torch.zeros_like(tensor)
            else:
                answer[name] = own if own.shape == tensor.shape else own.expand(tensor.shape).contiguous()
    return answer


_REDUCTIONS: Final = (RULES["sum"], RULES["mean"])
