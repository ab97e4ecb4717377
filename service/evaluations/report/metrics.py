"""Sections of metrics: their figures, calibration, and which classes are taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.evaluations.report.meanings import of_metric
from service.evaluations.report.numbers import count, figure, finite, percent
from service.evaluations.report.outline import Column, Plot, Section, Table

WORST = 30  # classes of a table or plot
CONFUSED = 20  # pairs of classes
PLOTTED = {"confusion_matrix"}
PER_CLASS = ("precision", "recall", "f1", "auroc", "average_precision")


def scalars(metrics: Mapping[str, Any]) -> list[tuple[str, str | None, Any]]:
    """Every single figure: (metric, member of it or none, figure)."""
    found: list[tuple[str, str | None, Any]] = []
    for name, held in metrics.items():
        if name in PLOTTED:
            continue
        if not isinstance(held, Mapping):
            found.append((name, None, held))
            continue
        found += [
            (name, member, part)
            for member, part in held.items()
            if member not in {"k", "threshold"} and not isinstance(part, (list, Mapping))
        ]
    return found


def share(value: Any) -> str:
    """A metric, most of which are shares of 1: these in four decimals, so that they can be read below each other."""
    made = finite(value)
    return f"{made:.4f}" if made is not None and made in (0.0, 1.0) else figure(value)


def metrics_section(metrics: Mapping[str, Any]) -> Section | None:
    """All single figures, with what they mean."""
    rows = []
    for name, member, value in scalars(metrics):
        held = metrics[name]
        title, meaning = of_metric(name, member, dict(held) if isinstance(held, Mapping) else {})
        rows.append([title, share(value), meaning])
    if not rows:
        return None
    columns = [Column("metric", "text"), Column("value"), Column("meaning", "text")]
    return Section("metrics", "Metrics", tables=[Table("", columns, rows, brief=40)])


def per_class(metrics: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """The metrics that have a figure for each class, by their titles."""
    found = {}
    for name in PER_CLASS:
        held = metrics.get(name)
        if isinstance(held, Mapping) and isinstance(held.get("per_class"), list):
            found[of_metric(name, None, {})[0]] = held["per_class"]
    return found


def calibration_section(metrics: Mapping[str, Any]) -> Section | None:
    """How well confidence tells accuracy."""
    held = metrics.get("calibration_error")
    if not isinstance(held, Mapping):
        return None
    bins = [
        (
            float(each["low"]),
            float(each["high"]),
            int(each["count"]),
            float(each["confidence"]),
            float(each["accuracy"]),
        )
        for each in held.get("bins") or ()
        if each["count"] and finite(each["confidence"]) is not None and finite(each["accuracy"]) is not None
    ]
    if not bins:
        return None
    over = sum(number * (confidence - accuracy) for _, _, number, confidence, accuracy in bins)
    total = sum(number for _, _, number, _, _ in bins)
    side = "surer than it is right" if over > 0 else "less sure than it is right"
    about = (
        f"Of predictions made with 80 % confidence, 80 % should be right. This model's confidence is off by "
        f"{percent(held.get('expected'))} on average; on the whole it is {side}, by {percent(abs(over) / total)}. "
        "Points below the dashed line are overconfident, points above it too cautious."
    )
    title = "Accuracy by confidence"

    def draw() -> str:
        from service.evaluations.report.plots.reliability import reliability

        return reliability(bins, title=title, about=about)

    columns = [Column("confidence", "text"), Column("predictions"), Column("mean confidence"), Column("accuracy")]
    rows = [
        [f"{percent(low)} to {percent(high)}", count(number), percent(confidence), percent(accuracy)]
        for low, high, number, confidence, accuracy in bins
    ]
    table = Table("Bins of confidence", columns, rows)
    plot = Plot("reliability", title, "accuracy by confidence, and how many predictions each bin has", draw)
    return Section("calibration", "Calibration", about, [plot], [table], in_brief=False)


def confusion_section(metrics: Mapping[str, Any]) -> Section | None:
    """Which classes are taken for which."""
    held = metrics.get("confusion_matrix")
    if not isinstance(held, Mapping):
        return None
    names, counts = [str(name) for name in held["classes"]], held["counts"]
    totals = [sum(row) for row in counts]
    if not any(totals):
        return None
    wrong = sorted(
        (-cell, true, taken)
        for true, row in enumerate(counts)
        for taken, cell in enumerate(row)
        if cell and true != taken
    )
    columns = [Column("true", "given"), Column("predicted", "given"), Column("count"), Column("of the class")]
    rows = [
        [names[true], names[taken], count(-cell), percent(-cell / totals[true])]
        for cell, true, taken in wrong[:CONFUSED]
    ]
    errors = -sum(cell for cell, _, _ in wrong)
    covered = -sum(cell for cell, _, _ in wrong[:CONFUSED])
    note = f"These are {percent(covered / errors)} of all {count(errors)} errors." if len(wrong) > CONFUSED else ""
    tables = [Table("Most frequent confusions", columns, rows, note=note, brief=5)] if rows else []
    about = (
        "Each row is a true class, each column what it was taken for; a cell is as dark as its share of its row. "
        "Right predictions are on the diagonal."
    )
    from service.evaluations.report.plots.limits import CLASSES

    if len(names) > CLASSES:
        about = f"{count(len(names))} classes are too many for a matrix: these pairs are confused most."
        return Section("confusion", "Confusion", about, tables=tables)
    title = "Confusion matrix"

    def draw() -> str:
        from service.evaluations.report.plots.confusion import confusion

        return confusion(names, counts, title=title, about=about)

    plot = Plot("confusion", title, "true classes by predicted ones", draw)
    return Section("confusion", "Confusion", about, [plot], tables)
