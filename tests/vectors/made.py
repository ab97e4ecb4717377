"""The vectors of each loss, made once for all tests."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from schemas.losses import LOSSES
from service.vectors.files import Made


@cache
def made(name: str) -> Made:
    """A loss's vectors."""
    return Made(LOSSES[name])


@cache
def document(name: str) -> dict[str, Any]:
    """Its JSON file, read by the standard library, which takes no bare NaN here."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"a bare {constant} is no JSON")

    found: dict[str, Any] = json.loads(made(name).as_json(), parse_constant=refuse)
    return found
