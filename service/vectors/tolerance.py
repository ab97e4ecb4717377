"""How near another implementation should come: what its type resolves, and what the answer's own numbers lose."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from schemas.vectors.answer import Tolerance
from service.vectors.answered import Answered

RTOL: Final = {"float64": 1e-9, "float32": 1e-4}
ATOL: Final = {"float64": 1e-12, "float32": 1e-6}
EPSILONS: Final = float(np.finfo(np.float64).eps / np.finfo(np.float32).eps)
"""How many times finer float64 is."""
ROOM: Final = 8
"""Others round elsewhere: they may lose this many times as much as is lost here."""
USELESS: Final = 0.05
"""A tolerance of that part of the largest number holds nobody to anything."""


def tolerances(wide: Answered, narrow: Answered) -> dict[str, Tolerance | None]:
    """By type; `None` for float32 where its answer says too little.

    Where terms cancel, an answer has fewer digits than its type. How many, the difference between the two types tells:
    what float32 loses beyond `RTOL`, float64 loses too, as many times less as it is finer.
    """
    lost, largest = 0.0, 0.0
    for name, exact in wide.numbers().items():
        rounded = narrow.numbers()[name]
        held = np.isfinite(exact)
        if not np.array_equal(held, np.isfinite(rounded)):
            return {"float64": _of("float64", 0.0), "float32": None}
        beyond = np.abs(exact[held] - rounded[held]) - RTOL["float32"] / ROOM * np.abs(exact[held])
        lost = max(lost, float(beyond.max(initial=0)))
        largest = max(largest, float(np.abs(exact[held]).max(initial=0)))
    useless = ROOM * lost > ATOL["float32"] and ROOM * lost > USELESS * largest
    return {
        "float64": _of("float64", lost * EPSILONS),
        "float32": None if useless else _of("float32", lost),
    }


def _of(dtype: str, lost: float) -> Tolerance:
    """A power of ten: the last bits of a machine are not to show in it."""
    needed = ROOM * lost
    atol = ATOL[dtype]
    if needed > atol:
        atol = float(f"1e{math.ceil(math.log10(needed))}")
    return Tolerance(rtol=RTOL[dtype], atol=atol)
