"""Dims: how the shapes of a loss's tensors hang together.

`"C | N C *D"` reads: one dim, the classes; or a batch, the classes, and any number of further dims. A name stands for
one size, a starred name for any number of dims; the same name means the same size (or sizes) in all tensors of a
request. `()` is 0-d. Alternatives (forms) of different tensors belong together by position.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

Shape = tuple[int, ...]
Form = tuple[str, ...]
Bound = dict[str, Shape]


@cache
def forms(dims: str) -> tuple[Form, ...]:
    """The alternatives of a dims text, each as its tokens."""
    return tuple(tuple(name for name in part.split() if name != "()") for part in dims.split("|"))


class Mismatch(NamedTuple):
    """A shape that does not fit its dims, given what is bound: in words."""

    detail: str


def show(shape: Shape) -> str:
    """A shape in a message."""
    return str(list(shape))


def spell(form: Form) -> str:
    """A form in a message: `[N, C, *D]`."""
    return f"[{', '.join(form)}]"


def fits(form: Form, ndim: int) -> bool:
    """Whether a shape of that many dims can have this form, whatever its sizes."""
    starred = sum(token.startswith("*") for token in form)
    return ndim >= len(form) - 1 if starred else ndim == len(form)


def bind(form: Form, shape: Shape, bound: Bound, owner: str, owners: dict[str, str]) -> Mismatch | None:
    """Fit a shape to a form, binding the names it meets first; at most one name of a form is starred."""
    if not fits(form, len(shape)):
        return _mismatch(form, shape, bound, owners)
    spare = len(shape) - len(form) + 1
    at = 0
    for token in form:
        width = spare if token.startswith("*") else 1
        part = shape[at : at + width]
        at += width
        known = bound.get(token)
        if known is None:
            bound[token] = part
            owners[token] = owner
        elif known != part:
            return _mismatch(form, shape, bound, owners)
    return None


def expected(form: Form, bound: Bound) -> Shape | None:
    """The shape that a form stands for, where all its names are bound."""
    sizes: list[int] = []
    for token in form:
        part = bound.get(token)
        if part is None:
            return None
        sizes.extend(part)
    return tuple(sizes)


def _mismatch(form: Form, shape: Shape, bound: Bound, owners: dict[str, str]) -> Mismatch:
    wanted = expected(form, bound)
    told = f"shape {show(shape)} does not fit {spell(form)}"
    if wanted is not None and form:
        sources = sorted({owners[token] for token in form if token in owners})
        told += f", which is {show(wanted)} by {' and '.join(sources)}"
    return Mismatch(told)


def broadcasts(shape: Shape, to: Shape) -> bool:
    """Whether a tensor of that shape expands to `to` by the usual rules, without `to` growing."""
    if len(shape) > len(to):
        return False
    return all(size in (1, other) for size, other in zip(reversed(shape), reversed(to), strict=False))


def extent(shape: Shape) -> int:
    """The number of elements that a shape would have if no size were 0: its rows count even when they are empty."""
    return math.prod(max(size, 1) for size in shape)


def numel(shape: Shape) -> int:
    """The number of elements of a shape: arithmetic on whole numbers, nothing is allocated."""
    return math.prod(shape)
