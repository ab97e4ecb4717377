"""A run's loss over its batches: each batch's exact sums, and neighbours' added up."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any, Final

from schemas.evaluation.spec import RunSpec
from service.evaluations.exact import UNIT, quotient, rounded
from service.evaluations.moments import Moments

NAN, POSITIVE, NEGATIVE = 1, 2, 4
"""What a sum holds beside finite numbers."""
VOID = 8
"""Of a sum of shares: batches with no others beside them are as nothing (`service.evaluations.moments.is_void`)."""
HEAD: Final = struct.Struct("<BHB")
"""What it holds beside, the trailing zero bits that are left out, the bytes that follow."""


def packed(moments: Moments, *, void: bool) -> bytes:
    """The exact sums of a batch's losses and shares, in a few bytes; and whether it is as nothing."""
    odd = moments.odd
    # What is not finite stands for 1 among the shares: here they are the finite ones' alone.
    shares = moments.share - (sum(odd[3:]) << UNIT)
    return _packed(moments.value, odd[:3]) + _packed(shares, odd[3:], VOID * void)


def series(batches: Iterable[tuple[int, bytes]], count: int, points: int, spec: RunSpec) -> list[dict[str, Any]]:
    """Samples and packed sums of `count` batches, as up to `points` runs of neighbours.

    The numbers of batches in two of them differ by at most one.
    """
    made: list[dict[str, Any]] = []
    points = min(points, count)
    part, held = _Part(), 0
    for at, (samples, data) in enumerate(batches):
        part.add(samples, data)
        held += 1
        if (at + 1) * points // count > len(made):
            made.append({"batches": held, **part.figures(spec)})
            part, held = _Part(), 0
    return made


class _Part:
    """Neighbouring batches."""

    def __init__(self) -> None:
        self.samples = 0
        self.void = True
        self.totals = [0, 0]
        self.flags = [0, 0]

    def add(self, samples: int, data: bytes) -> None:
        self.samples += samples
        at = 0
        for which in (0, 1):
            flags, zeros, length = HEAD.unpack_from(data, at)
            at += HEAD.size
            self.flags[which] |= flags & ~VOID
            self.totals[which] += int.from_bytes(data[at : at + length], "little", signed=True) << zeros
            at += length
        self.void &= not samples or bool(flags & VOID)  # the shares' own flags

    def figures(self, spec: RunSpec) -> dict[str, Any]:
        totals, own = ([0, 0], [0, 0]) if self.void else (self.totals, self.flags)
        total, divisor = (
            rounded(exact) if not flags else _not_finite(flags) for exact, flags in zip(totals, own, strict=True)
        )
        if spec.reduction == "sum":
            loss = total
        elif any(own):
            loss = total / divisor if divisor else math.nan
        else:
            loss = quotient(*totals)
        return {"samples": self.samples, "loss": loss, "divisor": divisor}


def _packed(total: int, odd: tuple[int, ...], void: int = 0) -> bytes:
    nan, plus, minus = odd
    flags = void | NAN * (nan > 0) | POSITIVE * (plus > 0) | NEGATIVE * (minus > 0)
    zeros = (total & -total).bit_length() - 1 if total else 0
    short = total >> zeros
    data = short.to_bytes(short.bit_length() // 8 + 1, "little", signed=True)
    return HEAD.pack(flags, zeros, len(data)) + data


def _not_finite(flags: int) -> float:
    if flags & NAN or (flags & POSITIVE and flags & NEGATIVE):
        return math.nan
    return math.inf if flags & POSITIVE else -math.inf
