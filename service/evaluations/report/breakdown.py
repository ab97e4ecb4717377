"""Sections of classes and groups: where the loss comes from."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from service.evaluations.report.best import ENOUGH
from service.evaluations.report.metrics import WORST, per_class
from service.evaluations.report.numbers import bounded, column, count, finite, plottable
from service.evaluations.report.numbers import level as level_of
from service.evaluations.report.outline import BESIDE, Column, Plot, Section, Table
from service.evaluations.report.plots.limits import LINES, Line


def classes_section(results: Mapping[str, Any], metrics: Mapping[str, Any]) -> Section | None:
    """Each class's loss and metrics, worst first."""
    held = list(results.get("classes") or ())
    if not any(each.get("count") for each in held):
        return None
    others = per_class(metrics)
    shown = worst_first(held)[:WORST]
    places = [int(each["class"]) for each in shown]
    figures = [
        column(of_class[place] if place < len(of_class) else None for place in places) for of_class in others.values()
    ]
    return _lines_section("classes", "elements", held, _rows(shown, "count", results, figures), list(others), results)


def groups_section(results: Mapping[str, Any]) -> Section | None:
    """Each group's loss, worst first."""
    held = [{**each, "name": each["group"]} for each in results.get("groups") or ()]
    if not any(each.get("count") for each in held):
        return None
    shown = worst_first(held)[:WORST]
    return _lines_section("groups", "samples", held, _rows(shown, "samples", results, []), [], results)


def _rows(
    shown: Sequence[Mapping[str, Any]], size: str, results: Mapping[str, Any], figures: Sequence[Sequence[str]]
) -> list[list[str]]:
    """A row of each: its name, size, loss and interval, and its place in each column of `figures`."""
    held = [(each["loss"] if each.get("count") else None, *ends(each, results)) for each in shown]
    losses, intervals = bounded(held)
    names, sizes = [str(each["name"]) for each in shown], [count(each.get(size)) for each in shown]
    return [list(row) for row in zip(names, sizes, losses, intervals, *figures, strict=True)]


def _lines_section(
    many: Literal["classes", "groups"],
    size: str,
    held: Sequence[Mapping[str, Any]],
    rows: list[list[str]],
    others: list[str],
    results: Mapping[str, Any],
) -> Section:
    """A plot of intervals and its table, of the same classes or groups."""
    one = "class" if many == "classes" else "group"
    columns = [Column(one, "given"), Column(size), Column("loss"), Column(f"{level(results)} interval, normal")]
    columns += [Column(title) for title in others]
    lines = []
    for each in worst_first(held)[:WORST]:
        if not each.get("count"):
            continue
        loss = finite(each["loss"])
        bounds = ends(each, results)
        if loss is not None and plottable([loss, *(end for end in bounds if end is not None)]):
            lines.append(Line(str(each["name"]), loss, *bounds))
    overall = finite(results.get("loss")) if results["reduction"] == "mean" else None
    about = (
        f"Where the model does badly: {many} by their loss, the highest first. Where bars do not overlap, "
        "the difference is more than chance."
    )
    if any(0 < each["count"] < ENOUGH for each in held):
        about += f" Intervals of fewer than {ENOUGH} {size} are not worth believing."
    if len(held) > WORST:
        about += f" These are the {WORST} worst of {count(len(held))}; the CSV report has all."
    title = f"Loss by {one}"

    def draw() -> str:
        from service.evaluations.report.plots.intervals import intervals

        across = ("whole run", overall) if overall is not None else None
        return intervals(
            lines, name=many, title=title, about=about, unit="loss", across=across, wide=len(columns) > BESIDE
        )

    plots = [Plot(many, title, f"loss with its interval, up to {LINES} {many}", draw)] if lines else []
    return Section(many, title, about, plots, [Table("", columns, rows)])


def worst_first(held: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By loss, the highest first; what is not a finite number before all, and what has no samples after all."""
    losses = [finite(each["loss"]) for each in held]
    order = sorted(
        range(len(held)),
        key=lambda at: (not held[at].get("count"), losses[at] is not None, -(losses[at] or 0.0), at),
    )
    return [held[at] for at in order]


def ends(each: Mapping[str, Any], results: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The normal interval of a class's or group's loss."""
    loss, error = finite(each["loss"]), finite(each.get("standard_error"))
    if loss is None or error is None:
        return None, None
    deviations = statistics.NormalDist().inv_cdf(0.5 + _level(results) / 2)
    return loss - deviations * error, loss + deviations * error


def level(results: Mapping[str, Any]) -> str:
    """The level of confidence, as a percentage."""
    return level_of(_level(results))


def _level(results: Mapping[str, Any]) -> float:
    return float((results.get("interval") or results.get("bootstrap") or {}).get("level") or 0.95)
