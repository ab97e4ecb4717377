"""Texts of runs that every store and every reader takes."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from schemas.problem import Fault, pointer

MAX_NAME: Final = 200
"""Characters of a name, a tag or its key."""
BROKEN: Final = re.compile("[\0\ud800-\udfff]")
"""A NUL, which PostgreSQL's texts cannot hold, and halves of surrogate pairs, which UTF-8 cannot."""
WHY: Final = "holds a NUL or half a surrogate pair"


def _sound(value: str) -> str:
    if BROKEN.search(value):
        raise PydanticCustomError("text", WHY)
    return value


Text = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_sound)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_sound)]


def broken_texts(value: dict[str, Any], at: str) -> list[Fault]:
    """Where, below that pointer, a text or a member's name is broken: in objects and lists of any depth."""
    found = []
    rest: list[tuple[Any, tuple[str | int, ...]]] = [(value, ())]
    while rest:
        one, path = rest.pop()
        if type(one) is str:
            if BROKEN.search(one):
                found.append(Fault(at + pointer(*path), WHY))
        elif type(one) is dict:
            for name, inner in one.items():
                if BROKEN.search(name):
                    found.append(Fault(at + pointer(*path), f"a member's name {WHY}"))
                else:
                    rest.append((inner, (*path, name)))
        elif type(one) is list:
            rest += [(inner, (*path, place)) for place, inner in enumerate(one) if type(inner) in (str, dict, list)]
    return found
