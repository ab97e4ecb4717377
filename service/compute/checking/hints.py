"""Hints: known causes tried one by one, and those told that explain what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from service.compute.checking import causes_in_formulas, causes_in_members  # noqa: F401 - they add to the list
from service.compute.checking.case import Answer, Array, Case
from service.compute.checking.causes import CAUSES
from service.compute.checking.comparison import Tolerance, beyond_of, differences, largest

MAX_HINTS: Final = 5
NEAR: Final = 2
"""Digits of how near an answer is, in tolerances: what differs in fewer is as near."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A cause that explains tensors, named in `explains` (`loss`, `gradients.input`); `difference`: what is left."""

    code: str
    sentence: str
    explains: tuple[str, ...]
    difference: float


def hints(case: Case, theirs: dict[str, Array], allowed: dict[str, Tolerance], wrong: set[str]) -> list[Hint]:
    """What explains tensors that are `wrong`, best first: most tensors, then the nearest, then the simplest.

    `theirs` and `allowed` by the names of tensors: `loss`, `gradients.input`.
    """
    found: list[tuple[int, float, int, Hint]] = []
    for place, cause in enumerate(CAUSES):
        best: tuple[int, float, int, Hint] | None = None
        for detail, answer in cause.answers(case):
            if answer is None:
                continue
            explained = _explained(answer, case.answer, theirs, allowed)
            if not explained.keys() & wrong:
                continue
            sentence = f"{cause.sentence[:-1]} ({detail})." if detail else cause.sentence
            distance = round(max(far for far, _ in explained.values()), NEAR)
            left = max(off for _, off in explained.values())
            ranked = (-len(explained), distance, place, Hint(cause.code, sentence, tuple(explained), left))
            if best is None or ranked[:3] < best[:3]:
                best = ranked
        if best is not None:
            found.append(best)
    return [hint for *_, hint in sorted(found, key=lambda one: one[:3])][:MAX_HINTS]


def by_name(answer: Answer) -> dict[str, Array]:
    """The tensors of an answer: `loss`, `gradients.input`."""
    return {"loss": answer.loss, **{f"gradients.{name}": array for name, array in answer.gradients.items()}}


def _explained(
    answer: Answer, right: Answer, theirs: dict[str, Array], allowed: dict[str, Tolerance]
) -> dict[str, tuple[float, float]]:
    """The tensors that an answer has as they are, each with its distance in tolerances and its largest difference."""
    every, references = by_name(answer), by_name(right)
    found = {}
    for name, given in theirs.items():
        if name not in every or every[name].shape != given.shape:
            continue
        own = every[name]
        size, least = largest(own), largest(references[name])
        grown = max(1.0, size / least) if least else 1.0  # larger numbers lose more to rounding
        bound = allowed[name]._replace(atol=allowed[name].atol * grown)
        off = differences(given, own)
        if not beyond_of(off, own, bound).any():
            reach = bound.atol + bound.rtol * size
            most = float(np.max(off, initial=0.0))
            found[name] = (most / reach if reach else 0.0, most)
    return found
