"""The report of one run, as a page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from service.evaluations.report import meanings
from service.evaluations.report.best import best, few
from service.evaluations.report.breakdown import classes_section, groups_section
from service.evaluations.report.metrics import calibration_section, confusion_section, metrics_section
from service.evaluations.report.numbers import (
    NONE,
    column,
    count,
    counted,
    figure,
    finite,
    interval,
    moment,
    plottable,
    within,
)
from service.evaluations.report.numbers import level as level_of
from service.evaluations.report.outline import Column, Fact, Headline, Page, Plot, Section, Table
from service.evaluations.report.plots.limits import axis_of

PLOTTED = 10  # samples that a histogram needs to show anything
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
        "created": run.get("created_at") and moment(run["created_at"]),
        "sealed": run.get("sealed_at") and moment(run["sealed_at"]),
    }
    found = [Fact(name, str(value)) for name, value in known.items() if value]
    return found + [Fact(f"tag {key}", str(value)) for key, value in (run.get("tags") or {}).items()]


def headline(results: Mapping[str, Any]) -> Headline:
    """The loss, with the best interval there is."""
    loss, found = results.get("loss"), best(results)
    if not results.get("samples"):
        return Headline("loss", NONE, "", "There are no samples in this run yet.")
    if finite(loss) is None:
        return Headline("loss", figure(loss), "", "The loss is no finite number: at least one sample's is none.")
    samples = int(results["samples"])
    told = f"The {results['reduction']} loss of {counted(samples, 'sample', 'samples')} is"
    if few(results, samples):
        sentence = f"{told} {figure(loss)}. So few tell little of others: there is no interval worth believing."
        return Headline("loss", figure(loss), "too few samples for an interval", sentence)
    if found is None:
        return Headline("loss", figure(loss), "", f"{told} {figure(loss)}.")
    written, ends = within(loss, found.low, found.high), interval(found.low, found.high)
    level = level_of(found.level)
    sentence = f"{told} {written}; with {level} confidence, that of all such samples is between"
    return Headline(
        "loss", written, f"{level} {found.kind} interval: {ends}", f"{sentence} {ends.replace(' to ', ' and ')}."
    )


def cards(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Counts, and the first few metrics."""
    made = [("samples", count(results.get("samples"))), ("batches", count(results.get("batches")))]
    if results.get("count") != results.get("samples"):
        made.append(("elements", count(results.get("count"))))
    if results.get("ignored"):
        made.append(("ignored", count(results.get("ignored"))))
    for name, held in (results.get("metrics") or {}).items():
        part = None
        settings: dict[str, Any] = {}
        if isinstance(held, Mapping):
            settings = dict(held)
            part = next((member for member in ("value", "binary", "macro", "expected") if member in held), None)
        value = held if not settings else settings.get(part or "")
        if len(made) < 7 and finite(value) is not None:
            made.append((meanings.of_metric(name, part, settings)[0], figure(value)))
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
    ends = [float(edge) for edge in edges]
    middle = next((value for q, value in quantiles if q == 0.5), None)
    mean = finite(results.get("loss")) if results["reduction"] == "mean" else None
    lines = [(name, value) for name, value in (("mean", mean), ("median", middle)) if value is not None]
    about = (
        "How many samples have which loss. A long tail to the right is a few samples that the model gets very wrong."
    )
    title = "Losses of samples"

    def draw() -> str:
        from service.evaluations.report.plots.histogram import histogram

        return histogram(ends, counts, lines, title=title, about=about)

    least, *middles, most = column([held.get("min"), *(value for _, value in quantiles), held.get("max")])
    rows = [["least", least, "no sample is below"]]
    rows += [
        [f"{100 * q:g} %", value, f"at least {100 * q:g} % of samples are at or below"]
        for (q, _), value in zip(quantiles, middles, strict=True)
    ]
    rows.append(["greatest", most, "no sample is above"])
    columns = [Column("quantile", "text"), Column("loss"), Column("meaning", "text")]
    accuracy = held.get("relative_accuracy")
    note = (
        f"Nearest rank: the smallest loss with so many at or below it. Within {100 * accuracy:g} % of its value."
        if accuracy
        else ""
    )
    shown = bool(ends) and plottable(ends) and sum(counts) >= PLOTTED
    plots = [Plot("histogram", title, "samples by their loss", draw)] if shown else []
    table = Table("Quantiles", columns, rows, note=note)
    return Section("distribution", "Losses of samples", about, plots, [table], in_brief=False)


def course_section(results: Mapping[str, Any]) -> Section | None:
    """The loss over batches."""
    series = results.get("series") or ()
    pieces = [(int(each["samples"]), finite(each["loss"])) for each in series]
    finites = [loss for _, loss in pieces if loss is not None]
    if len(finites) < 2 or not plottable(finites):
        return None
    overall = finite(results.get("loss")) if results["reduction"] == "mean" else None
    about = (
        "Each step is the loss of neighbouring batches. It should go up and down at random; "
        "a step that stays, or a slope, says that the data are sorted or that something changed on the way."
    )
    note = f"Steps spread by {figure(statistics.stdev(finites))} around {figure(statistics.fmean(finites))}."
    bounds = axis_of([(number, loss) for number, loss in pieces if loss is not None])
    beyond = 0 if bounds is None else sum(not bounds[0] <= loss <= bounds[1] for loss in finites)
    if beyond:
        note += f" The axis is cut to the range of 98 % of the samples: {count(beyond)} small steps go beyond it."
    title = "Loss over batches"

    def draw() -> str:
        from service.evaluations.report.plots.course import course

        drawn = [(samples, loss if loss is not None else float("nan")) for samples, loss in pieces]
        return course(drawn, overall, bounds, title=title, about=about)

    return Section("course", title, f"{about} {note}", [Plot("course", title, "loss by samples", draw)], in_brief=False)


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
    for each, loss in zip(shown, column(each["loss"] for each in shown), strict=True):
        row = [sample_name(each), loss]
        if classed:
            row.append(_shown(names.get(each.get("class"), each.get("class"))))
        if grouped:
            row.append(_shown(each.get("group")))
        rows.append(row)
    samples = counted(results["samples"], "sample", "samples")
    about = (
        f"The {count(len(shown))} of {samples} that the model gets most wrong, the worst first: "
        "mislabelled samples, damaged inputs and what the training data lack are often among them."
    )
    return Section("hardest", "Hardest samples", about, tables=[Table("", columns, rows).without_blanks()])


def sample_name(each: Mapping[str, Any]) -> str:
    """A sample's id; where it has none, its batch and place in it."""
    return str(each["id"]) if each.get("id") is not None else f"{each['batch_id']}[{each['index']}]"


def _shown(value: Any) -> str:
    return NONE if value is None else str(value)
