"""Sections of classes and groups: where the loss comes from."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from service.evaluations.report.metrics import WORST, per_class
from service.evaluations.report.numbers import NONE, count, figure, finite, interval, plottable, within
from service.evaluations.report.numbers import level as level_of
from service.evaluations.report.outline import BESIDE, Column, Plot, Section, Table
from service.evaluations.report.plots.limits import LINES, Line


def classes_section(results: Mapping[str, Any], metrics: Mapping[str, Any]) -> Section | None:
    """Each class's loss and metrics, worst first."""
    held = [each for each in results.get("classes") or () if each.get("count")]
    if not held:
        return None
    others = per_class(metrics)
    rows = []
    for each in worst_first(held):
        place = int(each["class"])
        low, high = ends(each, results)
        rows.append(
            [
                str(each["name"]),
                count(each.get("count")),
                within(each["loss"], low, high),
                interval(low, high),
                *(figure(figures[place]) if place < len(figures) else NONE for figures in others.values()),
            ]
        )
    columns = [Column("class", "given"), Column("elements"), Column("loss"), Column(f"{level(results)} interval")]
    columns += [Column(title) for title in others]
    return _lines_section("classes", "classes", held, rows[:WORST], columns, results)


def groups_section(results: Mapping[str, Any]) -> Section | None:
    """Each group's loss, worst first."""
    held = [{**each, "name": each["group"]} for each in results.get("groups") or () if each.get("count")]
    if not held:
        return None
    rows = []
    for each in worst_first(held)[:WORST]:
        low, high = ends(each, results)
        rows.append(
            [str(each["name"]), count(each.get("samples")), within(each["loss"], low, high), interval(low, high)]
        )
    columns = [Column("group", "given"), Column("samples"), Column("loss"), Column(f"{level(results)} interval")]
    return _lines_section("groups", "groups", held, rows, columns, results)


def _lines_section(
    name: str,
    many: str,
    held: Sequence[Mapping[str, Any]],
    rows: list[list[str]],
    columns: list[Column],
    results: Mapping[str, Any],
) -> Section:
    """A plot of intervals and its table."""
    lines = []
    for each in worst_first(held):
        loss = finite(each["loss"])
        bounds = ends(each, results)
        if loss is not None and plottable([loss, *(end for end in bounds if end is not None)]):
            lines.append(Line(str(each["name"]), loss, *bounds))
    overall = finite(results.get("loss")) if results["reduction"] == "mean" else None
    about = (
        f"Where the model does badly: {many} by their loss, the highest first. Where bars do not overlap, "
        "the difference is more than chance."
    )
    if len(held) > WORST:
        about += f" These are the {WORST} worst of {count(len(held))}; the CSV report has all."
    title = f"Loss by {'class' if name == 'classes' else 'group'}"

    def draw() -> str:
        from service.evaluations.report.plots.intervals import intervals

        across = ("whole run", overall) if overall is not None else None
        return intervals(
            lines, name=name, title=title, about=about, unit="loss", across=across, wide=len(columns) > BESIDE
        )

    plots = [Plot(name, title, f"loss with its interval, up to {LINES} {many}", draw)] if lines else []
    return Section(name, title, about, plots, [Table("", columns, rows)])


def worst_first(held: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By loss, the highest first; what is not a finite number before all."""
    losses = [finite(each["loss"]) for each in held]
    order = sorted(range(len(held)), key=lambda at: (losses[at] is not None, -(losses[at] or 0.0), at))
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
