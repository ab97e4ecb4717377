"""Formulas of the caller's own: each step of a checked program is one call of torch, looked up in a table."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.expression import Node, Program
from schemas.losses.expression import Expression
from service.losses.formula import Tensors, Terms, register, with_kernels
from service.losses.reverse import backward, rules_of, where

Call = Callable[..., Any]

SOFTPLUS_LINEAR: Final = 40.0
"""Where x and log(1 + exp(x)) are the same double; torch's own 20 is not that far."""

CALLS: Final[dict[str, Call]] = {
    "same": lambda x: x,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "pow": torch.pow,
    "neg": torch.neg,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
    "eq": torch.eq,
    "ne": torch.ne,
    "and": torch.logical_and,
    "or": torch.logical_or,
    "not": torch.logical_not,
    "truth": lambda x: torch.ne(x, 0),
    "abs": torch.abs,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "log10": torch.log10,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "square": torch.square,
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "asin": torch.asin,
    "acos": torch.acos,
    "atan": torch.atan,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "logsigmoid": F.logsigmoid,
    "softplus": lambda x: F.softplus(x, 1.0, SOFTPLUS_LINEAR),
    "relu": torch.relu,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "lgamma": torch.lgamma,
    "sign": torch.sign,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "clamp": torch.clamp,
    "where": where,
    "xlogy": torch.xlogy,
    "logaddexp": torch.logaddexp,
    "atan2": torch.atan2,
    "stop_gradient": torch.Tensor.detach,
    "isnan": torch.isnan,
    "isfinite": torch.isfinite,
}
"""What each step between tensors, and tensors and numbers, is in torch."""
SWAPPED: Final[dict[str, Call]] = {
    "add": torch.add,
    "mul": torch.mul,
    "sub": torch.rsub,
    "lt": torch.gt,
    "le": torch.ge,
    "gt": torch.lt,
    "ge": torch.le,
    "eq": torch.eq,
    "ne": torch.ne,
}
"""The same with the number first, of steps that torch knows with a number last alone."""
REDUCTIONS: Final[dict[str, Call]] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "amax": torch.amax,
    "amin": torch.amin,
    "logsumexp": torch.logsumexp,
    "softmax": torch.softmax,
    "log_softmax": torch.log_softmax,
    "cumsum": torch.cumsum,
}
"""Steps over or along dims."""


class Step(NamedTuple):
    """One call: where its result goes, and where its arguments are."""

    at: int
    call: Call
    args: tuple[int, ...]


class Steps(NamedTuple):
    """A program made into calls. `scalars` and `values`: places of 0-d tensors made of numbers, and their numbers'."""

    size: int
    tensors: tuple[tuple[int, str], ...]
    scalars: tuple[tuple[int, int], ...]
    calls: tuple[Step, ...]


@lru_cache(maxsize=256)
def steps_of(program: Program) -> Steps:
    """The calls of a program, worked out once."""
    nodes = program.nodes
    tensors, scalars, calls = [], [], []
    for at, node in enumerate(nodes):
        if node.kind == "number":
            continue
        args = tuple([arg for arg in node.args if arg is not None])
        if node.op == "tensor":
            tensors.append((at, str(node.value)))
        elif node.op == "scalar":
            scalars.append((at, args[0]))
        else:
            call, args = _call(node, args, nodes)
            calls.append(Step(at, call, args))
    return Steps(len(nodes), tuple(tensors), tuple(scalars), tuple(calls))


def _call(node: Node, args: tuple[int, ...], nodes: tuple[Node, ...]) -> tuple[Call, tuple[int, ...]]:
    """A step as a function of tensors and numbers, and the places of these."""
    op = node.op
    if op in REDUCTIONS or op == "norm":
        return _over_dims(node), args
    if op == "value":  # truths as numbers of the type that the tensors have
        return torch.Tensor.type_as, (args[0], next(at for at, one in enumerate(nodes) if one.op == "tensor"))
    if op == "clamp" and len(args) == 2:
        low = node.args[1] is not None
        return (_clamp_min if low else _clamp_max), args
    if op == "clamp" and nodes[args[1]].kind != "number":
        return _clamp_between, args
    if op in SWAPPED and nodes[args[0]].kind == "number":
        return SWAPPED[op], (args[1], args[0])
    return CALLS[op], args


def _clamp_min(x: Tensor, low: Any) -> Tensor:
    return torch.clamp(x, min=low)


def _clamp_max(x: Tensor, high: Any) -> Tensor:
    return torch.clamp(x, max=high)


def _clamp_between(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Where the bounds cross, max holds, in the gradient too; torch.clamp's own says otherwise of bounds like these."""
    return torch.minimum(torch.maximum(x, low), high)


def _over_dims(node: Node) -> Call:
    """A reduction, or a step along a dim, with its own dims."""
    dim, op = node.dim, node.op
    if op in ("softmax", "log_softmax", "cumsum"):
        return partial(REDUCTIONS[op], dim=dim)
    if op == "norm":
        return partial(torch.linalg.vector_norm, ord=node.value, dim=dim, keepdim=node.keepdim)
    if dim is None and not node.keepdim and op in ("sum", "mean", "amax", "amin"):
        return REDUCTIONS[op]
    if dim is None:
        return partial(_over_all, REDUCTIONS[op], node.keepdim)
    return partial(REDUCTIONS[op], dim=dim, keepdim=node.keepdim)


def _over_all(reduce: Call, keepdim: bool, x: Tensor) -> Any:
    """Over every dim; torch's logsumexp wants them named."""
    return reduce(x, dim=tuple(range(x.dim())), keepdim=keepdim)


def run(steps: Steps, tensors: Tensors, numbers: tuple[float, ...]) -> list[Any]:
    """What each of a program's steps gives over these tensors and numbers; the last is the result."""
    found: list[Any] = list(numbers)
    like: Tensor | None = None
    for at, name in steps.tensors:
        like = found[at] = tensors[name]
    assert like is not None  # noqa: S101 - a program has a tensor
    for at, number in steps.scalars:
        found[at] = like.new_full((), numbers[number])
    for at, call, args in steps.calls:
        found[at] = call(*[found[arg] for arg in args])
    return found


# In float32 for half types, as all of a loss is.
@register(Expression, half=False)
def _(r: Expression, t: Tensors) -> Terms:
    return Terms(run(steps_of(r.program), t, r.numbers_used())[-1])


@with_kernels(Expression, everywhere=True)
def _(r: Expression, t: Tensors) -> Terms | None:
    """Programs all of whose steps have a gradient rule."""
    program, wanted = r.program, r.checked.gradients
    rules = rules_of(program, wanted)
    if rules is None:
        return None
    with torch.no_grad():
        found = run(steps_of(program), t, r.numbers_used())
    return Terms(found[-1], backward=lambda scale: backward(rules, found, scale, t, wanted))
