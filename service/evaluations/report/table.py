"""CSV: one tidy table of all figures, for spreadsheets and data frames.

Columns are `section`, `name`, `key`, `value`, `low` and `high`: what a figure belongs to, what it is, of which class,
group, quantile, sample or bin it is, and its interval or the bin's ends. Numbers are written in full.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from service.evaluations.report.evaluation import sample_name
from service.evaluations.report.metrics import scalars
from service.evaluations.report.numbers import number

COLUMNS = ("section", "name", "key", "value", "low", "high")
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 # spreadsheets take the wide ones too

Row = tuple[str, str, Any, Any, Any, Any]


def table(report: Mapping[str, Any]) -> str:
    """The table of a run's report, or of a comparison's."""
    rows = comparison_rows(report) if "comparison" in report else evaluation_rows(report)
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(COLUMNS)
    writer.writerows([cell(part) for part in row] for row in rows)
    return written.getvalue()


def cell(value: Any) -> str:
    """A cell: numbers in full, and texts so that no spreadsheet takes them for a formula."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULAS) else value
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return repr(value)


def evaluation_rows(report: Mapping[str, Any]) -> Iterator[Row]:
    """All figures of a run."""
    run, results = report["evaluation"], report["results"]
    yield from _texts(run, "evaluation")
    ends = results.get("interval") or {}
    yield "loss", "loss", None, number(results.get("loss")), number(ends.get("low")), number(ends.get("high"))
    boot = results.get("bootstrap") or {}
    if boot:
        yield "loss", "bootstrap", None, number(results.get("loss")), number(boot["low"]), number(boot["high"])
    for name in ("sum", "divisor", "standard_error"):
        yield "loss", name, None, number(results.get(name)), None, None
    for name in ("samples", "batches", "count", "ignored"):
        yield "loss", name, None, results.get(name), None, None
    for name, count in (results.get("not_finite") or {}).items():
        yield "not_finite", name, None, count, None, None
    yield from _spread(results.get("sample_loss") or {})
    yield from _parts(results, float(ends.get("level") or boot.get("level") or 0.95))
    yield from _metrics(results)
    for each in results.get("hardest") or ():
        yield "hardest", "loss", sample_name(each), number(each["loss"]), None, None
    first = 0
    for each in results.get("series") or ():
        last = first + int(each["samples"])
        yield "series", "loss", f"{first} to {last}", number(each["loss"]), first, last
        first = last


def comparison_rows(report: Mapping[str, Any]) -> Iterator[Row]:
    """All figures of a comparison."""
    held = report["comparison"]
    yield from _texts(report["first"], "first")
    yield from _texts(report["second"], "second")
    yield from _difference("difference", None, held)
    boot = held.get("bootstrap")
    if boot:
        yield "difference", "bootstrap", None, number(held["difference"]), number(boot["low"]), number(boot["high"])
        yield "difference", "second_lower", None, boot["second_lower"], None, None
    for name, count in held["second"].items():
        yield "second", name, None, count, None, None
    for name, count in held["samples"].items():
        yield "samples", name, None, count, None, None
    for many, kind in (("classes", "class"), ("groups", "group")):
        for each in held.get(many) or ():
            yield from _difference(kind, each.get("name", each.get("group")), each)
    for kind in ("improved", "worsened"):
        for each in held.get(kind) or ():
            for name in ("first", "second", "difference"):
                yield kind, name, sample_name(each), number(each[name]), None, None


def _parts(results: Mapping[str, Any], level: float) -> Iterator[Row]:
    for many, kind in (("classes", "class"), ("groups", "group")):
        for each in results.get(many) or ():
            key = each.get("name", each.get("group"))
            yield kind, "loss", key, number(each["loss"]), *_ends(each, level)
            for name in ("standard_error", "divisor", "count", "samples"):
                if name in each:
                    yield kind, name, key, number(each[name]) if name != "count" else each[name], None, None


def _texts(run: Mapping[str, Any], section: str) -> Iterator[Row]:
    for name in ("id", "name", "loss", "reduction", "dtype", "state", "created_at", "sealed_at"):
        if run.get(name):
            yield section, name, None, str(run[name]), None, None
    for key, value in (run.get("tags") or {}).items():
        yield section, "tag", key, str(value), None, None


def _spread(held: Mapping[str, Any]) -> Iterator[Row]:
    for name in ("min", "max"):
        if name in held:
            yield "sample_loss", name, None, number(held[name]), None, None
    for each in held.get("quantiles") or ():
        yield "sample_loss", "quantile", each["q"], number(each["value"]), None, None
    bins = held.get("histogram") or {"edges": [], "counts": []}
    edges = [number(edge) for edge in bins["edges"]]
    for at, count in enumerate(bins["counts"]):
        yield "sample_loss", "histogram", at, count, edges[at], edges[at + 1]


def _metrics(results: Mapping[str, Any]) -> Iterator[Row]:
    metrics = results.get("metrics") or {}
    for name, member, value in scalars(metrics):
        yield "metric", name, member, number(value), None, None
    names = {int(each["class"]): each["name"] for each in results.get("classes") or ()}
    for name, held in metrics.items():
        if not isinstance(held, Mapping):
            continue
        for at, value in enumerate(held.get("per_class") or ()):
            yield "metric_of_class", name, names.get(at, str(at)), number(value), None, None
        yield from _bins(held.get("bins") or ())
    confused = metrics.get("confusion_matrix")
    if isinstance(confused, Mapping):
        yield from _confusions(confused)


def _bins(bins: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for at, each in enumerate(bins):
        for part in ("count", "confidence", "accuracy"):
            value = each[part] if part == "count" else number(each[part])
            yield "calibration", part, at, value, number(each["low"]), number(each["high"])


def _confusions(confused: Mapping[str, Any]) -> Iterator[Row]:
    """The cells that are not zero: a thousand classes have a million of them."""
    for true, row in zip(confused["classes"], confused["counts"], strict=True):
        for taken, count in zip(confused["classes"], row, strict=True):
            if count:
                yield "confusion", str(true), str(taken), count, None, None


def _difference(section: str, key: Any, held: Mapping[str, Any]) -> Iterator[Row]:
    ends = held.get("interval") or {}
    yield section, "difference", key, number(held["difference"]), number(ends.get("low")), number(ends.get("high"))
    for name in ("first_loss", "second_loss", "standard_error"):
        yield section, name, key, number(held[name]), None, None
    yield section, "pairs", key, held["pairs"], None, None


def _ends(each: Mapping[str, Any], level: float) -> tuple[float | None, float | None]:
    loss, error = number(each["loss"]), number(each.get("standard_error"))
    if loss is None or error is None:
        return None, None
    width = statistics.NormalDist().inv_cdf(0.5 + level / 2) * error
    return loss - width, loss + width
