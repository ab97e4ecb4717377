"""The report of one run, as a page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from service.evaluations.report import meanings
from service.evaluations.report.metrics import (
    WORST,
    calibration_section,
    confusion_section,
    metrics_section,
    per_class,
)
from service.evaluations.report.numbers import count, figure, finite, interval, within
from service.evaluations.report.numbers import level as level_of
from service.evaluations.report.outline import BESIDE, Column, Fact, Headline, Page, Plot, Section, Table
from service.evaluations.report.plots.limits import LINES, Line

HARDEST = 100  # samples of a page; the JSON report has all that are kept


def evaluation_page(report: Mapping[str, Any]) -> Page:
    """The page of `{"evaluation": ..., "results": ...}`."""
    run, results = report["evaluation"], report["results"]
    metrics = results.get("metrics") or {}
    sections = [
        figures_section(results),
        distribution_section(results),
        course_section(results),
        metrics_section(metrics),
        classes_section(results, metrics),
        groups_section(results),
        calibration_section(metrics),
        confusion_section(metrics),
        hardest_section(results),
    ]
    return Page(
        kind="Evaluation",
        title=run.get("name") or run["id"],
        facts=facts(run),
        headline=headline(results),
        cards=cards(results),
        warnings=warnings(run, results),
        sections=[section for section in sections if section is not None],
    )


def facts(run: Mapping[str, Any]) -> list[Fact]:
    """What was evaluated, and when."""
    options = {name: value for name, value in (run.get("options") or {}).items() if not isinstance(value, list)}
    known = {
        "run": run["id"],
        "loss": run["loss"] + "".join(f", {name} {value}" for name, value in options.items()),
        "reduction": run.get("reduction"),
        "computed in": run.get("dtype"),
        "state": run.get("state"),
        "created": run.get("created_at"),
        "sealed": run.get("sealed_at"),
    }
    found = [Fact(name, str(value)) for name, value in known.items() if value]
    return found + [Fact(f"tag {key}", str(value)) for key, value in (run.get("tags") or {}).items()]


def headline(results: Mapping[str, Any]) -> Headline:
    """The loss, with the best interval there is."""
    loss, best = results.get("loss"), results.get("bootstrap") or results.get("interval") or {}
    low, high, level = best.get("low"), best.get("high"), level_of(best.get("level"))
    if not results.get("samples"):
        return Headline("loss", "–", "", "There are no samples in this run yet.")
    if finite(loss) is None:
        return Headline("loss", figure(loss), "", "The loss is no finite number: at least one sample's is none.")
    ends = interval(low, high)
    sentence = f"The {results['reduction']} loss of {count(results['samples'])} samples is {within(loss, low, high)}"
    sentence += (
        f"; with {level} confidence, that of all such samples is between {ends.replace(' to ', ' and ')}."
        if (ends != "–")
        else "."
    )
    return Headline("loss", within(loss, low, high), f"{level} interval: {ends}" if ends != "–" else "", sentence)


def cards(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Counts, and the first few metrics."""
    made = [("samples", count(results.get("samples"))), ("batches", count(results.get("batches")))]
    if results.get("count") != results.get("samples"):
        made.append(("elements", count(results.get("count"))))
    if results.get("ignored"):
        made.append(("ignored", count(results.get("ignored"))))
    for name, held in (results.get("metrics") or {}).items():
        value = held
        if isinstance(held, Mapping):
            value = next((held[part] for part in ("value", "macro", "expected") if part in held), None)
        if len(made) < 7 and finite(value) is not None:
            member = "macro" if isinstance(held, Mapping) and "value" not in held and "macro" in held else None
            settings = dict(held) if isinstance(held, Mapping) else {}
            made.append((meanings.of_metric(name, member, settings)[0], figure(value)))
    return made


def warnings(run: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    """What a reader must know before trusting a figure."""
    made = []
    if run.get("state") == "open" and results.get("samples"):
        made.append("This run is still open: figures change with each batch.")
    expected = run.get("expected_samples")
    if expected and expected != results.get("samples"):
        made.append(f"{count(results.get('samples'))} of {count(expected)} expected samples have come.")
    bad = results.get("not_finite") or {}
    if any(bad.values()):
        parts = [f"{count(number)} {name.replace('_', ' ')}" for name, number in bad.items() if number]
        made.append(f"Some losses are not finite: {', '.join(parts)}. Find them among the hardest samples.")
    return made


def figures_section(results: Mapping[str, Any]) -> Section:
    """The loss and all that it is made of."""
    rows = [["loss", figure(results.get("loss"), 6), meanings.LOSS[results["reduction"]]]]
    normal, bootstrap = results.get("interval"), results.get("bootstrap")
    if finite(results.get("standard_error")) is not None:
        rows.append(["standard error", figure(results["standard_error"]), meanings.STANDARD_ERROR])
    if normal:
        rows.append(
            [f"{level_of(normal['level'])} interval, normal", interval(normal["low"], normal["high"]), meanings.NORMAL]
        )
    if bootstrap:
        meaning = meanings.BOOTSTRAP.replace("{replicates}", count(bootstrap.get("replicates")))
        ends = interval(bootstrap["low"], bootstrap["high"])
        rows.append([f"{level_of(bootstrap['level'])} interval, bootstrap", ends, meaning])
    if results["reduction"] == "mean":
        rows.append(["divisor", figure(results.get("divisor"), 9), meanings.DIVISOR])
    rows.append(["elements", count(results.get("count")), meanings.COUNT])
    rows.append(["ignored", count(results.get("ignored")), meanings.IGNORED])
    columns = [Column("figure", "text"), Column("value"), Column("meaning", "text")]
    about = "Every figure is of all samples together, and the same whatever the order and size of batches."
    return Section("figures", "The loss", about, tables=[Table("", columns, rows)])


def distribution_section(results: Mapping[str, Any]) -> Section | None:
    """How samples' losses are spread."""
    held = results.get("sample_loss")
    if not held or not sum((held.get("histogram") or {}).get("counts") or ()):
        return None
    quantiles = [(float(each["q"]), finite(each["value"])) for each in held.get("quantiles") or ()]
    edges, counts = held["histogram"]["edges"], held["histogram"]["counts"]
    middle = next((value for q, value in quantiles if q == 0.5), None)
    mean = finite(results.get("loss")) if results["reduction"] == "mean" else None
    lines = [(name, value) for name, value in (("mean", mean), ("median", middle)) if value is not None]
    about = (
        "How many samples have which loss. A long tail to the right is a few samples that the model gets very wrong."
    )
    title = "Losses of samples"

    def draw() -> str:
        from service.evaluations.report.plots.histogram import histogram

        ends = [finite(edge) for edge in edges]
        return histogram([edge for edge in ends if edge is not None], counts, lines, title=title, about=about)

    rows = [["least", figure(held.get("min")), "no sample is below"]]
    rows += [[f"{100 * q:g} %", figure(value), f"{100 * q:g} % of samples are at or below"] for q, value in quantiles]
    rows.append(["greatest", figure(held.get("max")), "no sample is above"])
    columns = [Column("quantile", "text"), Column("loss"), Column("meaning", "text")]
    accuracy = held.get("relative_accuracy")
    note = f"Quantiles are within {100 * accuracy:g} % of their value." if accuracy else ""
    plots = (
        [Plot("histogram", title, "samples by their loss", draw)] if all(finite(e) is not None for e in edges) else []
    )
    table = Table("Quantiles", columns, rows, note=note)
    return Section("distribution", "Losses of samples", about, plots, [table], in_brief=False)


def course_section(results: Mapping[str, Any]) -> Section | None:
    """The loss over batches."""
    series = results.get("series") or ()
    pieces = [(int(each["samples"]), finite(each["loss"])) for each in series]
    finites = [loss for _, loss in pieces if loss is not None]
    if len(finites) < 2:
        return None
    overall = finite(results.get("loss")) if results["reduction"] == "mean" else None
    about = (
        "Each step is the loss of neighbouring batches. It should go up and down at random around the dashed line; "
        "a step that stays, or a slope, says that the data are sorted or that something changed on the way."
    )
    spread = statistics.stdev(finites)
    note = f"Steps spread by {figure(spread)} around {figure(statistics.fmean(finites))}."
    title = "Loss over batches"

    def draw() -> str:
        from service.evaluations.report.plots.course import course

        drawn = [(samples, loss if loss is not None else float("nan")) for samples, loss in pieces]
        return course(drawn, overall, title=title, about=about)

    return Section("course", title, f"{about} {note}", [Plot("course", title, "loss by samples", draw)], in_brief=False)


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
                *(figure(figures[place]) if place < len(figures) else "–" for figures in others.values()),
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
        if loss is not None:
            lines.append(Line(str(each["name"]), loss, *ends(each, results)))
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


def hardest_section(results: Mapping[str, Any]) -> Section | None:
    """The samples of the highest losses."""
    held = results.get("hardest") or ()
    if not held:
        return None
    shown = held[:HARDEST]
    columns = [Column("sample", "given"), Column("loss")]
    classed = any(each.get("class") is not None for each in shown)
    grouped = any(each.get("group") is not None for each in shown)
    columns += [Column("class", "given")] * classed + [Column("group", "given")] * grouped
    names = {each["class"]: each["name"] for each in results.get("classes") or ()}
    rows = []
    for each in shown:
        row = [sample_name(each), figure(each["loss"])]
        if classed:
            row.append(_shown(names.get(each.get("class"), each.get("class"))))
        if grouped:
            row.append(_shown(each.get("group")))
        rows.append(row)
    about = (
        "What the model gets most wrong. Look at these first: mislabelled samples, damaged inputs and what the "
        "training data lack are often among them."
    )
    return Section("hardest", "Hardest samples", about, tables=[Table("", columns, rows)])


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


def sample_name(each: Mapping[str, Any]) -> str:
    """A sample's id; where it has none, its batch and place in it."""
    return str(each["id"]) if each.get("id") is not None else f"{each['batch_id']}[{each['index']}]"


def _shown(value: Any) -> str:
    return "–" if value is None else str(value)
