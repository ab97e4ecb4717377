"""The figures of a report for people, named as thresholds name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from service.evaluations.report.best import best, few


def table(report: Mapping[str, Any]) -> Table:
    """The run, its loss and its metrics: a line for each figure."""
    run, results = report["evaluation"], report["results"]
    shown = Table("figure", "value", box=None, header_style="bold")
    shown.add_row("run", f"{run['id']} ({run['state']})")
    for name, value in _figures(results):
        shown.add_row(name, value)
    return shown


def _figures(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "loss", number(results["loss"]) + _interval(results)
    for name in ("samples", "count", "ignored"):
        yield name, f"{results[name]:,}"
    for name, count in (results.get("not_finite") or {}).items():
        if count:
            yield f"not_finite.{name}", f"{count:,}"
    for name, value in (results.get("metrics") or {}).items():
        if isinstance(value, Mapping):
            parts = {part: one for part, one in value.items() if not isinstance(one, list | Mapping)}
            if "value" in parts:
                beside = ", ".join(f"{part} {one}" for part, one in parts.items() if part != "value")
                yield name, number(parts["value"]) + (f"  ({beside})" if beside else "")
            else:
                for part, one in parts.items():
                    yield f"{name}.{part}", number(one)
        elif not isinstance(value, list):
            yield name, number(value)


def _interval(results: Mapping[str, Any]) -> str:
    """The interval that the report tells first."""
    found = best(results)
    if found is None:
        return ""
    if few(results, int(results["samples"])):
        return "  (too few samples for an interval)"
    return f"  ({100 * found.level:g} % {found.kind} interval: {number(found.low)} to {number(found.high)})"


def number(value: Any) -> str:
    """A number in six digits; what is none, such as `NaN`, as it is."""
    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
