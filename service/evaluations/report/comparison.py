"""The comparison of two runs, as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.evaluations.report import meanings
from service.evaluations.report.best import best, few
from service.evaluations.report.evaluation import facts, sample_name
from service.evaluations.report.metrics import WORST
from service.evaluations.report.numbers import (
    NONE,
    bounded,
    change,
    changes,
    column,
    count,
    counted,
    figure,
    finite,
    interval,
    level,
    percent,
    plottable,
    within,
)
from service.evaluations.report.outline import Column, Fact, Headline, Page, Plot, Section, Table
from service.evaluations.report.plots.limits import LINES, Line


def comparison_page(report: Mapping[str, Any]) -> Page:
    """The page of `{"first": ..., "second": ..., "comparison": ...}`."""
    first, second, held = report["first"], report["second"], report["comparison"]
    names = _names(first, second)
    sections = [
        figures_section(held),
        lines_section(held, "classes"),
        lines_section(held, "groups"),
        changed_section(
            held, "improved", "Improved most", "Samples whose loss fell most from the baseline to the new run."
        ),
        changed_section(held, "worsened", "Worsened most", "Samples whose loss rose most: what the new run has lost."),
        samples_section(held),
    ]
    return Page(
        kind="Comparison",
        title=names[1],
        against=names[0],
        facts=[
            Fact("new", _described(second, names[1])),
            Fact("baseline", _described(first, names[0])),
            *[fact for fact in facts(first) if fact.name in {"loss", "reduction"}],
        ],
        headline=headline(held),
        cards=cards(held),
        warnings=warnings(held),
        sections=[section for section in sections if section is not None],
    )


def headline(held: Mapping[str, Any]) -> Headline:
    """The difference, with the best interval there is."""
    by, found, label = finite(held["difference"]), best(held), "new loss less the baseline's"
    if by is None:
        written, why = figure(held["difference"]), "The losses' difference is no finite number."
        return Headline(label, written, "", why)
    if few(held, int(held["pairs"])):
        why = f"{counted(held['pairs'], 'pair is', 'pairs are')} too few to tell a difference from chance."
        return Headline(label, change(by), "too few pairs for an interval", why)
    if found is None:
        return Headline(label, change(by), "", f"Over {counted(held['pairs'], 'pair', 'pairs')} there is no interval.")
    at = level(found.level)
    if found.low > 0 or found.high < 0:
        side = "higher" if found.low > 0 else "lower"
        verdict = f"The new run's loss is {side}: more than chance explains at {at} confidence."
    else:
        verdict = f"Neither run is better beyond chance: the {at} interval of the difference holds zero."
    ends = interval(found.low, found.high, signed=True)
    return Headline(label, _signed(by, found.low, found.high), f"{at} {found.kind} interval: {ends}", verdict)


def cards(held: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Both losses, and who is better on how many samples."""
    second = held["second"]
    losses = column([held["second_loss"], held["first_loss"]])
    made = list(zip(("new loss", "baseline's loss"), losses, strict=True))
    first, by = finite(held["first_loss"]), finite(held["difference"])
    if first and by is not None:
        made.append(("relative", _relative(by / abs(first))))
    made.append(("pairs", count(held["pairs"])))
    total = sum(second.values())
    if total:
        made.append(("new is better on", percent(second["lower"] / total)))
    return made


def warnings(held: Mapping[str, Any]) -> list[str]:
    """What a reader must know before trusting a figure."""
    samples = held["samples"]
    told = (
        (samples["first_only"] + samples["second_only"],
         "sample is in one of the runs only, and left out.",
         "samples are in one of the runs only, and left out."),
        (samples["first_repeated"] + samples["second_repeated"],
         "sample has an id that a run has more than once; it is left out.",
         "samples have an id that a run has more than once; they are left out."),
        (samples["not_finite"],
         "pair has a loss that is no finite number; it is left out.",
         "pairs have a loss that is no finite number; they are left out."),
        (samples["other_class"],
         "pair is of another class in the new run: its target has changed.",
         "pairs are of another class in the new run: targets have changed."),
        (samples["other_share"],
         "pair weighs differently in the new run.",
         "pairs weigh differently in the new run."),
    )  # fmt: skip
    return [counted(number, one, many) for number, one, many in told if number]


def figures_section(held: Mapping[str, Any]) -> Section:
    """The difference and all that is known of it."""
    rows = [
        ["new loss", figure(held["second_loss"], 6), "Over the samples that both runs have."],
        ["baseline's loss", figure(held["first_loss"], 6), "Over the same samples."],
        [
            "difference",
            change(held["difference"]),
            "The new loss less the baseline's. Below zero the new run is better.",
        ],
    ]
    if finite(held.get("standard_error")) is not None:
        meaning = "How far the difference would typically be off if the samples were drawn anew."
        rows.append(["standard error", figure(held["standard_error"]), meaning])
    normal, bootstrap = held.get("interval"), held.get("bootstrap")
    if normal:
        ends = interval(normal["low"], normal["high"], signed=True)
        meaning = (
            "Where the difference over all possible samples lies at this level of confidence, from the standard error."
        )
        rows.append([f"{level(normal['level'])} interval, normal", ends, meaning])
    if bootstrap:
        ends = interval(bootstrap["low"], bootstrap["high"], signed=True)
        meaning = meanings.BOOTSTRAP.replace("{replicates}", count(bootstrap.get("replicates")))
        rows.append([f"{level(bootstrap['level'])} interval, bootstrap", ends, meaning])
        meaning = "The share of resampled data sets on which the new run's loss is the lower. Near 50 % tells nothing."
        rows.append(["new is lower in", percent(bootstrap["second_lower"]), meaning])
    second = held["second"]
    rows += [
        ["samples with lower loss", count(second["lower"]), "The new run is better on them."],
        ["samples with equal loss", count(second["equal"]), ""],
        ["samples with higher loss", count(second["higher"]), "The baseline is better on them."],
    ]
    about = (
        "Each sample is compared with itself, so that hard and easy samples do not blur the difference: "
        "it can be certain even where the runs' own intervals overlap."
    )
    columns = [Column("figure", "text"), Column("value"), Column("meaning", "text")]
    return Section("figures", "The difference", about, tables=[Table("", columns, rows, brief=20)])


def lines_section(held: Mapping[str, Any], kind: str) -> Section | None:
    """The differences of classes or groups, those that changed most first."""
    rows_of = [{**each, "name": each.get("name", each.get("group"))} for each in held.get(kind) or ()]
    if not rows_of:
        return None
    ordered = sorted(rows_of, key=lambda each: -abs(finite(each["difference"]) or 0.0))
    shown = sorted(ordered[:WORST], key=lambda each: -(finite(each["difference"]) or 0.0))
    lines: list[Line] = []
    bounds: list[tuple[Any, float | None, float | None]] = []
    for each in shown:
        by, ends = finite(each["difference"]), each.get("interval") or {}
        low, high = finite(ends.get("low")), finite(ends.get("high"))
        if by is not None and plottable(end for end in (by, low, high) if end is not None):
            lines.append(Line(str(each["name"]), by, low, high))
        bounds.append((each["difference"], low, high))
    differences, intervals_of = bounded(bounds, signed=True)
    cells = [column(each["second_loss"] for each in shown), column(each["first_loss"] for each in shown)]
    names, pairs = [str(each["name"]) for each in shown], [count(each["pairs"]) for each in shown]
    rows = [list(row) for row in zip(names, pairs, *cells, differences, intervals_of, strict=True)]
    one = "class" if kind == "classes" else "group"
    about = f"Each {one}'s difference with its interval. Right of zero the new run is worse, left of it better."
    if len(ordered) > WORST:
        about += f" These are the {WORST} that changed most of {count(len(ordered))}; the CSV report has all."
    title = f"Difference by {one}"

    def draw() -> str:
        from service.evaluations.report.plots.intervals import intervals

        unit = "new loss less the baseline's"
        return intervals(
            lines, name=kind, title=title, about=about, unit=unit, across=("no difference", 0.0), wide=True
        )

    columns = [Column(one, "given"), Column("pairs"), Column("new"), Column("baseline"), Column("difference")]
    confidence = next((each["interval"]["level"] for each in shown if each.get("interval")), None)
    columns.append(Column(f"{level(confidence)} interval, normal" if confidence else "interval"))
    plots = [Plot(kind, title, f"difference with its interval, up to {LINES} {kind}", draw)] if lines else []
    return Section(kind, title, about, plots, [Table("", columns, rows)])


def changed_section(held: Mapping[str, Any], kind: str, title: str, about: str) -> Section | None:
    """The samples that changed most in one direction."""
    shown: Sequence[Mapping[str, Any]] = held.get(kind) or ()
    if not shown:
        return None
    names = {each["class"]: each["name"] for each in held.get("classes") or ()}
    classed = any(each.get("class") in names for each in shown)
    grouped = any(each.get("group") is not None for each in shown)
    columns = [Column("sample", "given"), Column("new"), Column("baseline"), Column("difference")]
    columns += [Column("class", "given")] * classed + [Column("group", "given")] * grouped
    rows = []
    written = [column(each[side] for each in shown) for side in ("second", "first")]
    written.append(changes(each["difference"] for each in shown))
    for each, *figures in zip(shown, *written, strict=True):
        row = [sample_name(each), *figures]
        row += [str(names.get(each.get("class"), NONE))] * classed
        row += [NONE if each.get("group") is None else str(each["group"])] * grouped
        rows.append(row)
    return Section(kind, title, about, tables=[Table("", columns, rows, brief=5).without_blanks()])


def samples_section(held: Mapping[str, Any]) -> Section:
    """Which samples were compared, and which were not."""
    meanings_of = {
        "pairs": "Samples that both runs have once.",
        "second_only": "Samples that only the new run has.",
        "first_only": "Samples that only the baseline has.",
        "second_repeated": "Samples of the new run whose id one of the runs has more than once.",
        "first_repeated": "Samples of the baseline whose id one of the runs has more than once.",
        "without_loss": "Pairs without a loss: all of a sample's elements are ignored in one of the runs.",
        "not_finite": "Pairs with a loss that is no finite number.",
        "other_class": "Pairs whose class differs between the runs.",
        "other_share": "Pairs whose weight in the mean differs between the runs.",
    }
    sides = {"first": "baseline", "second": "new"}
    words = {name: " ".join(sides.get(word, word) for word in name.split("_")) for name in meanings_of}
    rows = [[words[name], count(held["samples"][name]), text] for name, text in meanings_of.items()]
    columns = [Column("samples", "text"), Column("count"), Column("meaning", "text")]
    about = (
        "Samples pair by their ids, or by batch id and position where they have none. "
        "All figures are of pairs with a loss."
    )
    return Section("samples", "What was compared", about, tables=[Table("", columns, rows)], in_brief=False)


def _names(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, str]:
    """The runs' names, their ids where names do not tell them apart."""
    names = str(first.get("name") or first["id"]), str(second.get("name") or second["id"])
    return names if names[0] != names[1] else (str(first["id"]), str(second["id"]))


def _described(run: Mapping[str, Any], name: str) -> str:
    return name if name == run["id"] else f"{name} ({run['id']})"


def _signed(by: float | None, low: float | None, high: float | None) -> str:
    """A difference, in as many digits as its interval makes worth reading."""
    written = within(by, low, high)
    return f"+{written}" if by is not None and by > 0 else written


def _relative(share: float) -> str:
    written = percent(share)
    return f"+{written}" if share > 0 else written
