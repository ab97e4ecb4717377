from __future__ import annotations

import copy
import html.parser
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.evaluations.report.breakdown import classes_section
from service.evaluations.report.evaluation import distribution_section, hardest_section
from service.evaluations.report.numbers import NONE
from service.evaluations.report.plots.limits import axis_of
from service.evaluations.report.write import write
from tests.evaluations.report import drawn

HOSTILE = "<script>alert(1)</script>\"'&`|*_[x](javascript:1) $a_b$ \u202e\x00\ud800 @team #1\n=1+1 猫"


class Reader(html.parser.HTMLParser):
    """A page's elements and attributes, its texts by element, and whether all that opens closes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self.open[-1] if self.open else "", []).append(data)


def page_of(report: dict[str, Any]) -> str:
    return write(report, "html").decode()


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """A report with all of its parts."""
    return drawn.report(samples=3000)


@pytest.fixture(scope="module")
def page(whole: dict[str, Any]) -> str:
    return page_of(whole)


def test_a_page_has_every_section_and_plot(page: str) -> None:
    read = Reader(page)
    assert read.text["h2"] == [
        "The loss",
        "Losses of samples",
        "Loss over batches",
        "Metrics",
        "Loss by class",
        "Loss by group",
        "Calibration",
        "Confusion",
        "Hardest samples",
    ]
    plots = [attributes["aria-labelledby"] for tag, attributes in read.tags if tag == "svg"]
    assert plots == [f"{name}-title {name}-about" for name in
                     ("histogram", "course", "classes", "groups", "reliability", "confusion")]  # fmt: skip


def test_every_plot_says_what_it_shows_and_no_id_is_there_twice(page: str) -> None:
    read = Reader(page)
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for tag, attributes in read.tags:
        if tag == "svg":
            assert attributes["role"] == "img"
            assert set((attributes["aria-labelledby"] or "").split()) <= set(ids)
        for value in attributes.values():
            for part in (value or "").split("url(#")[1:]:
                assert part.split(")")[0] in ids
    assert all(text.strip() for text in read.text["desc"])


def test_a_page_needs_nothing_else(page: str) -> None:
    for tag, attributes in Reader(page).tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "image"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name.endswith("href") or name == "src":
                assert (value or "").startswith("#")
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_plots_take_their_colours_and_fonts_from_the_page(page: str) -> None:
    plot = page[page.index("<svg") : page.index("</svg>")]
    assert "var(--accent)" in plot
    assert "var(--ink)" in plot
    assert "#0102" not in page
    assert ">mean " in plot


def test_equal_reports_give_equal_bytes_in_another_process(whole: dict[str, Any], page: str) -> None:
    code = (
        "import sys; from tests.evaluations.report import drawn; from service.evaluations.report.write import write;"
        "sys.stdout.buffer.write(write(drawn.report(samples=3000), 'html'))"
    )
    root = Path(__file__).parents[3]
    other = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "7"}
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=other, cwd=root)
    assert again.stdout.decode() == page
    assert page_of(whole) == page


def test_names_of_callers_are_only_ever_text() -> None:
    report = drawn.report(4, 500, names=[HOSTILE, f"{HOSTILE}1", "c" * 500, "\u2801\u2802"])
    report["evaluation"].update(name=HOSTILE, tags={HOSTILE: HOSTILE}, options={HOSTILE: HOSTILE})
    for each in report["results"]["hardest"]:
        each["id"] = HOSTILE
    for each in report["results"]["groups"]:
        each["group"] = HOSTILE + each["group"]
    read = Reader(page_of(report))
    assert not {"script", "x"} & {tag for tag, _ in read.tags}
    assert any("<script>alert(1)</script>" in text for text in read.text["bdi"])
    labels = [text for text in read.text["text"] if text.startswith("<script>alert(1)")]
    assert labels
    assert max(len(text) for text in read.text["text"]) < 60
    assert "\u2801" not in "".join(read.text["text"])
    compared = drawn.comparison()
    compared["first"]["name"] = compared["second"]["name"] = HOSTILE
    compared["comparison"]["improved"][0]["id"] = HOSTILE
    assert "script" not in {tag for tag, _ in Reader(page_of(compared)).tags}


@pytest.mark.parametrize(("classes", "shown"), [(2, 2), (12, 12), (30, 30), (1000, 30)])
def test_two_to_a_thousand_classes_have_a_page(classes: int, shown: int) -> None:
    read = Reader(page_of(drawn.report(classes, 4000)))
    names = {f"class {at:03}" for at in range(classes)}
    plotted = [text for text in read.text["text"] if text in names]
    matrix = 2 * classes if classes <= 30 else 0
    assert len(plotted) == shown + matrix
    assert ("confusion-title" in {attributes.get("id") for _, attributes in read.tags}) == (classes <= 30)


def test_parts_that_are_missing_leave_out_their_sections(whole: dict[str, Any]) -> None:
    report = copy.deepcopy(whole)
    report["results"].update(classes=None, groups=None, metrics={}, hardest=[], bootstrap=None, series=[])
    assert Reader(page_of(report)).text["h2"] == ["The loss", "Losses of samples"]


def test_a_run_without_samples_has_a_page(whole: dict[str, Any]) -> None:
    report = copy.deepcopy(whole)
    report["evaluation"].update(samples=0, batches=0, state="open")
    report["results"] = {
        "loss": "NaN", "reduction": "mean", "sum": 0.0, "divisor": 0.0, "standard_error": None, "interval": None,
        "samples": 0, "batches": 0, "count": 0, "ignored": 0,
        "not_finite": {"nan": 0, "positive_infinity": 0, "negative_infinity": 0},
        "sample_loss": {"min": None, "max": None, "relative_accuracy": 0.005, "quantiles": [],
                        "histogram": {"edges": [], "counts": []}},
        "classes": [{"class": 0, "name": "a", "loss": "NaN", "standard_error": None, "divisor": 0.0, "count": 0}],
        "groups": None, "hardest": [],
        "metrics": {"accuracy": "NaN", "f1": {"macro": "NaN", "per_class": [None]},
                    "confusion_matrix": {"classes": ["a"], "counts": [[0]]},
                    "calibration_error": {"expected": "NaN", "maximum": "NaN", "bins": []}},
        "bootstrap": None, "series": [],
    }  # fmt: skip
    read = Reader(page_of(report))
    assert read.text["h2"] == ["The loss", "Metrics"]
    assert "There are no samples in this run yet." in read.text["p"]
    assert write(report, "markdown")
    assert write(report, "csv")


def test_losses_that_are_not_finite_are_told(whole: dict[str, Any]) -> None:
    report = copy.deepcopy(whole)
    results = report["results"]
    results.update(
        loss="NaN", standard_error="NaN", interval={"level": 0.95, "low": "NaN", "high": "NaN"}, bootstrap=None
    )
    results["not_finite"]["nan"] = 3
    results["classes"][0].update(loss="Infinity", standard_error="NaN")
    results["series"][0]["loss"] = "NaN"
    results["hardest"][0]["loss"] = float("inf")
    read = Reader(page_of(report))
    assert "not a number" in read.text["p"]
    assert any("3 nan" in text for text in read.text["span"])
    assert read.text["bdi"].count("∞") == 2


@pytest.mark.parametrize(
    "values", [[2.5] * 50, [0.0] * 50, [-3.0, 1e-9], [1e-300, 1e300], [-1.7e308, 1.7e308], [1.0, 5e4]]
)
def test_any_finite_losses_can_be_plotted(values: list[float], whole: dict[str, Any]) -> None:
    report = copy.deepcopy(whole)
    low, high = min(values), max(values)
    edges = [low, high] if low in (high, -high) else [low, low + (high - low) / 1000, low + (high - low) / 500, high]
    counts = [len(values)] + [0] * (len(edges) - 2)
    report["results"]["sample_loss"]["histogram"] = {"edges": edges, "counts": counts}
    report["results"]["series"] = [{"batches": 1, "samples": 1, "loss": value, "divisor": 1.0} for value in values]
    for each, value in zip(report["results"]["classes"], values, strict=False):
        each.update(loss=value, standard_error=abs(value))
    assert Reader(page_of(report)).text["h2"][0] == "The loss"


def test_an_open_run_that_lacks_samples_says_so(whole: dict[str, Any]) -> None:
    report = copy.deepcopy(whole)
    report["evaluation"].update(state="open", expected_samples=9000)
    told = Reader(page_of(report)).text["span"]
    assert "This run is still open: figures change with each batch." in told
    assert "3,000 of 9,000 expected samples have come." in told


def test_a_comparison_has_a_page_with_what_changed() -> None:
    read = Reader(page_of(drawn.comparison()))
    assert read.text["h2"] == [
        "The difference",
        "Difference by class",
        "Difference by group",
        "Improved most",
        "Worsened most",
        "What was compared",
    ]
    assert read.text["bdi"][:2] == ["convnext-tiny", "resnet-50"]
    assert any(text.startswith("The new run's loss is lower") for text in read.text["p"])
    assert any(text.startswith("10 samples are in one of the runs only") for text in read.text["span"])


def test_notes_of_a_comparison_speak_of_one_as_of_one() -> None:
    report = drawn.comparison()
    members = ("first_only", "first_repeated", "not_finite", "other_class", "other_share")
    report["comparison"]["samples"].update(dict.fromkeys(members, 1), second_only=0, second_repeated=0)
    told = [text.split(" of ")[0] for text in Reader(page_of(report)).text["span"] if text.startswith("1 ")]
    starts = ("1 sample is in", "1 sample has an id", "1 pair has a loss", "1 pair is", "1 pair weighs differently in")
    assert len(told) == len(starts)
    assert all(text.startswith(start) for text, start in zip(told, starts, strict=True))
    report["comparison"].update(pairs=1)
    assert "1 pair is too few to tell a difference from chance." in Reader(page_of(report)).text["p"]


def test_a_page_of_few_samples_claims_no_interval(whole: dict[str, Any]) -> None:
    report = copy.deepcopy(whole)
    report["results"].update(samples=2)
    report["results"]["bootstrap"]["units"] = 2
    read = Reader(page_of(report))
    assert "too few samples for an interval" in read.text["p"]
    assert not any("% confidence, that" in text for text in read.text["p"])
    assert "95 % interval, bootstrap" in read.text["bdi"]
    comparison = drawn.comparison()
    comparison["comparison"]["bootstrap"]["units"] = 19
    assert "too few pairs for an interval" in Reader(page_of(comparison)).text["p"]


def test_every_interval_says_of_what_kind_it_is(page: str) -> None:
    read = Reader(page)
    assert read.text["th"].count("95 % interval, normal") == 2
    assert any(text.startswith("95 % bootstrap interval: ") for text in read.text["p"])


def test_a_class_without_samples_has_a_row_and_is_the_last(whole: dict[str, Any]) -> None:
    report = copy.deepcopy(whole)
    report["results"]["classes"][4].update(loss="NaN", standard_error=None, divisor=0.0, count=0)
    section = classes_section(report["results"], {})
    assert section is not None
    assert section.tables[0].rows[-1] == ["deer", "0", NONE, NONE]


def test_columns_of_nothing_but_dashes_are_left_out(whole: dict[str, Any]) -> None:
    report = copy.deepcopy(whole)
    for each in report["results"]["hardest"]:
        each["class"] = None
    section = hardest_section(report["results"])
    assert section is not None
    assert [column.title for column in section.tables[0].columns] == ["sample", "loss", "group"]
    assert section.about.startswith("The 100 of 3,000 samples")


def test_few_samples_have_no_histogram(whole: dict[str, Any]) -> None:
    report = copy.deepcopy(whole)
    report["results"]["sample_loss"]["histogram"] = {"edges": [0.2, 0.3, 1.0], "counts": [1, 8]}
    section = distribution_section(report["results"])
    assert section is not None
    assert section.plots == []


def test_a_batch_of_one_sample_does_not_set_the_axis() -> None:
    pieces = [(50, 1.0), (50, 1.2), (50, 0.9), (50, 1.1), (1, 40.0)]
    assert axis_of(pieces) == (0.9, 1.2)
    assert axis_of(pieces[:4]) is None
    assert axis_of([(1, 1.0), (1, 2.0)]) is None
    assert axis_of([]) is None


def test_plots_are_as_wide_as_the_screen_at_most(page: str) -> None:
    assert "figure svg { display: block; max-width: 100%; height: auto; }" in page
    assert "min-width: 6" not in page


def test_moments_are_written_to_the_second(page: str) -> None:
    assert "2026-03-04 09:12:44 UTC" in Reader(page).text["bdi"]
