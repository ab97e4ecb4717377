"""Answers that are no tensors: dictionaries of figures, as JSON that is always valid."""

from __future__ import annotations

import math
from typing import Any

import orjson

from service.wire.answer import number


def dumps(value: Any) -> bytes:
    """JSON text; numbers that are not finite are the texts that `schemas.tensor` reads."""
    text = orjson.dumps(value)
    return orjson.dumps(spelt(value)) if b"null" in text else text


def spelt(value: Any) -> Any:
    """The same value with such numbers spelt."""
    if type(value) is float:
        return value if math.isfinite(value) else number(value)
    if type(value) is dict:
        return {name: spelt(one) for name, one in value.items()}
    if type(value) is list or type(value) is tuple:
        return [spelt(one) for one in value]
    return value
