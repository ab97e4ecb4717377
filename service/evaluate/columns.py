"""Which columns a name on the command line stands for."""

from __future__ import annotations

import fnmatch
import re

from service.evaluate.faults import Misused

RANGE = re.compile(r"(?P<stem>.*?)(?P<first>\d+)\.\.(?P=stem)(?P<last>\d+)")
NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>\d+)")
SHOWN = 20


def chosen(wanted: str, columns: list[str], file: str) -> list[str]:
    """The columns of a file that `wanted` stands for: one, or several that stand side by side in one tensor.

    In this order: a column of that name; names with commas between; a range `logits_0..logits_9`; a pattern
    `logits_*`, its matches in the order of their numbers; a prefix, to which numbers without a gap are added. Raises
    `Misused` where there are none, or where it is not clear how they are ordered.
    """
    if wanted in columns:
        return [wanted]
    if "," in wanted:
        names = wanted.split(",")
    elif (ends := RANGE.fullmatch(wanted)) is not None:
        names = [f"{ends['stem']}{number}" for number in _between(ends["first"], ends["last"])]
    else:
        pattern = wanted if set(wanted) & set("*?[") else None
        names = _numbered([name for name in columns if _fits(name, wanted, pattern)], wanted, file)
    missing = [name for name in names if name not in columns]
    if missing or not names:
        raise Misused(f"{file}: there is no column {(missing or [wanted])[0]!r}; there are {_shown(columns)}")
    return names


def _fits(name: str, wanted: str, pattern: str | None) -> bool:
    if pattern is not None:
        return fnmatch.fnmatchcase(name, pattern)
    return re.fullmatch(rf"{re.escape(wanted)}_?\d+", name) is not None


def _between(first: str, last: str) -> list[str]:
    """The numbers from one to another, with the leading zeros of the first."""
    width = len(first) if first.startswith("0") else 0
    return [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]


def _numbered(names: list[str], wanted: str, file: str) -> list[str]:
    """Names that differ in one number, ordered by it. A gap would shift every class after it, so it is refused."""
    if len(names) < 2:
        return names
    found = [(match["stem"], int(match["number"]), name) for name in names if (match := NUMBERED.fullmatch(name))]
    numbers = sorted(number for _, number, _ in found)
    if len(found) < len(names) or len({stem for stem, _, _ in found}) > 1:
        raise Misused(f"{file}: the order of {_shown(names)} is not clear; name them with commas between")
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise Misused(f"{file}: the numbers of the columns {wanted} have gaps: {', '.join(map(str, numbers))}")
    return [name for _, _, name in sorted(found, key=lambda one: one[1])]


def _shown(columns: list[str]) -> str:
    more = f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    return ", ".join(columns[:SHOWN]) + more if columns else "none"
