"""The cases of a loss with their answers: for each plan the first draft that is valid, finite and away from kinks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from schemas.problem import InvalidRequest
from schemas.request import LossRequest
from schemas.vectors.answer import Kind, LeftOut, Tolerance
from schemas.vectors.drafts import SOURCES, draft
from schemas.vectors.plans import Plan, companions, plans
from service.vectors.answered import Answered, answer, jsoned, jumps
from service.vectors.tolerance import tolerances

ATTEMPTS = 8
DTYPES = ("float64", "float32")


class Case(NamedTuple):
    """One vector: its request as JSON has it, and what came of it."""

    name: str
    kind: Kind
    description: str
    members: dict[str, Any]
    answered: Answered
    tolerance: Tolerance


class Undrawable(Exception):
    """No draft of a plan will do: the loss's class must say more (`LossRequest.drawn`, `LossRequest.varied`)."""


class _Rejected(Exception):
    """Why a draft will not do."""


def cases(cls: type[LossRequest]) -> tuple[list[Case], list[LeftOut]]:
    """All vectors of a loss, and those that there are none of. Raises `Undrawable`."""
    found: list[Case] = []
    left_out: list[LeftOut] = []
    for plan in plans(cls):
        try:
            drawn, members, wide = _chosen(cls, plan)
        except _Rejected as why:
            if not plan.refusable:
                raise Undrawable(f"{cls.name}, {plan.name}: {why}") from None
            left_out += [LeftOut(name=f"{plan.name}/{dtype}", reason=str(why)) for dtype in DTYPES]
            continue
        narrow = answer(jsoned(members, "float32"))
        by_dtype = tolerances(wide, narrow)
        for dtype, one in zip(DTYPES, (wide, narrow), strict=True):
            name = f"{plan.name}/{dtype}"
            allowed = by_dtype[dtype]
            if allowed is None:
                left_out.append(LeftOut(name=name, reason="float32 keeps too few digits of this answer"))
            else:
                found.append(Case(name, plan.kind, drawn.description, jsoned(members, dtype), one, allowed))
    return found, left_out


def _chosen(cls: type[LossRequest], plan: Plan) -> tuple[Plan, dict[str, Any], Answered]:
    """The first draft that will do: what was drawn, and its answer in float64.

    Raises `_Rejected` with why the first one will not.
    """
    first: _Rejected | None = None
    for drawn, members in _drafts(cls, plan):
        try:
            return drawn, *_held(members, plan)
        except _Rejected as why:
            first = first or why
    raise first or _Rejected("nothing can be drawn")


def _drafts(cls: type[LossRequest], plan: Plan) -> Iterator[tuple[Plan, dict[str, Any] | InvalidRequest]]:
    """What may do, best first: the plan as it is from every source, then with one thing more."""
    for source in SOURCES:
        for attempt in range(ATTEMPTS):
            made = _drafted(cls, plan, source, attempt)
            if made is None:
                break
            yield plan, made
    for more in companions(cls, plan) if plan.kind != "edge" else ():
        for source in SOURCES:
            made = _drafted(cls, more, source, 0)
            if made is not None:
                yield more, made


def _drafted(cls: type[LossRequest], plan: Plan, source: str, attempt: int) -> dict[str, Any] | InvalidRequest | None:
    try:
        return draft(cls, plan, source, attempt)
    except InvalidRequest as error:
        return error


def _held(members: dict[str, Any] | InvalidRequest, plan: Plan) -> tuple[dict[str, Any], Answered]:
    """The draft and its answer, where it will do."""
    if isinstance(members, InvalidRequest):
        raise _Rejected(f"refused: {members}")
    told = jsoned(members, "float64")
    try:
        found = answer(told)
    except InvalidRequest as error:
        raise _Rejected(f"refused: {error}") from None
    if not found.finite() and (plan.finite or plan.scale > 2):
        raise _Rejected("the answer is not finite")
    odd = jumps(told, found)
    if odd and plan.coarse and "loss" not in odd:
        members = {**members, "gradients": []}
        return members, answer(jsoned(members, "float64"))
    if odd:
        raise _Rejected(f"{', '.join(odd)} would jump beside it")
    return members, found
