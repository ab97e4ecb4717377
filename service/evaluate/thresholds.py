"""Thresholds: figures of a report that must not be passed."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.evaluate.faults import Misused

OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
CONDITION: Final = re.compile(r"\s*(?P<figure>.+?)\s*(?P<operator><=|>=|<|>)\s*(?P<bound>\S+)\s*")
RESULTS: Final = frozenset(
    {
        "loss", "sum", "divisor", "standard_error", "interval", "samples", "batches", "count", "ignored", "not_finite",
        "sample_loss", "classes", "groups", "bootstrap",
    }
)  # fmt: skip
"""Members of the results, beside the metrics, that hold figures."""
KEYS: Final = ("name", "class", "group", "q")
"""What the entries of lists are known by."""
SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A condition under which an evaluation counts as failed: `accuracy<0.9`, `classes.cat.loss>1.5`."""

    figure: str
    operator: str
    bound: float

    @property
    def metric(self) -> str | None:
        """The metric that must be computed for it, if any."""
        first = self.figure.partition(".")[0]
        return None if first in RESULTS else first

    def passed(self, results: Mapping[str, Any]) -> str | None:
        """What was passed, in a sentence with both figures; None where all is well.

        A figure that has no value, or is NaN, shows nothing to be well: it counts as passed.
        """
        value = figure(results, self.figure)
        if value is None or math.isnan(value):
            return f"{self.figure} has no value ({self.figure} {self.operator} {self.bound:.10g} would fail)"
        if OPERATORS[self.operator](value, self.bound):
            return f"{self.figure} is {value:.10g}: {self.figure} {self.operator} {self.bound:.10g} fails"
        return None


def parsed(condition: str) -> Threshold:
    """A threshold as it is written on the command line. Raises `Misused`."""
    match = CONDITION.fullmatch(condition)
    if match is None:
        raise Misused(f"{condition!r} is no condition; accuracy<0.9 is one, with <, <=, > or >=")
    try:
        bound = float(match["bound"])
    except ValueError:
        raise Misused(f"{condition!r}: {match['bound']!r} is no number") from None
    if math.isnan(bound):
        raise Misused(f"{condition!r}: nothing compares with NaN")
    return Threshold(match["figure"], match["operator"], bound)


def figure(results: Mapping[str, Any], path: str) -> float | None:
    """A figure of the results by its path; None where it has no value.

    Metrics go by their names alone; entries of lists by their name, class, group or quantile. Raises `Misused` where
    there is no such figure.
    """
    metrics = results.get("metrics") or {}
    first = path.partition(".")[0]
    found: Any = results if first in RESULTS else metrics
    rest = path
    while rest and found is not None:
        found, rest = _step(found, rest, path)
    if isinstance(found, Mapping) and "value" in found:
        found = found["value"]
    if isinstance(found, str):
        found = SPECIAL.get(found, found)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise Misused(f"{path} is no single figure; it has {', '.join(_names(found)) or 'no parts'}")
    return float(found)


def _step(found: Any, rest: str, path: str) -> tuple[Any, str]:
    """One step down: names may hold points themselves, so the longest that fits is taken."""
    parts = rest.split(".")
    for count in range(len(parts), 0, -1):
        name = ".".join(parts[:count])
        names = _names(found)
        if name in names:
            return _child(found, name, names.index(name)), ".".join(parts[count:])
    there = ", ".join(_names(found)[:30])
    raise Misused(f"there is no figure {path}" + (f"; at {parts[0]!r} there are {there}" if there else ""))


def _names(found: Any) -> list[str]:
    if isinstance(found, Mapping):
        return list(found)
    if isinstance(found, list):
        return [_known(at, entry) for at, entry in enumerate(found)]
    return []


def _known(at: int, entry: Any) -> str:
    """What an entry of a list is called: of a class its name, else its number."""
    if isinstance(entry, Mapping):
        for key in KEYS:
            if entry.get(key) is not None:
                return str(entry[key])
    return str(at)


def _child(found: Any, name: str, at: int) -> Any:
    return found[name] if isinstance(found, Mapping) else found[at]
