from __future__ import annotations

import csv
import io
import math
import subprocess
import sys
from typing import Any

import pytest

from service.evaluations.report.markdown import given
from service.evaluations.report.numbers import (
    bounded,
    change,
    changes,
    column,
    figure,
    interval,
    moment,
    percent,
    within,
)
from service.evaluations.report.table import cell
from service.evaluations.report.write import write
from tests.evaluations.report import drawn


def rows_of(report: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(write(report, "csv").decode(), newline="")))


def test_csv_holds_every_number_in_full() -> None:
    report = drawn.report(samples=1000)
    results, rows = report["results"], rows_of(report)
    found = {(row["section"], row["name"], row["key"]): row for row in rows}
    assert len(found) == len(rows)
    assert float(found["loss", "loss", ""]["value"]) == results["loss"]
    assert float(found["loss", "bootstrap", ""]["high"]) == results["bootstrap"]["high"]
    for each in results["classes"]:
        row = found["class", "loss", each["name"]]
        assert float(row["value"]) == each["loss"]
        assert float(row["low"]) < each["loss"] < float(row["high"])
    assert float(found["metric", "f1", "macro"]["value"]) == results["metrics"]["f1"]["macro"]
    assert float(found["metric_of_class", "auroc", "cat"]["value"]) == results["metrics"]["auroc"]["per_class"][3]
    assert found["confusion", "cat", "cat"]["value"] == str(results["metrics"]["confusion_matrix"]["counts"][3][3])
    assert sum(row["section"] == "hardest" for row in rows) == 100
    assert sum(int(row["value"]) for row in rows if row["name"] == "histogram") == 1000


def test_csv_of_a_comparison_has_differences_with_their_intervals() -> None:
    report = drawn.comparison()
    found = {(row["section"], row["name"], row["key"]): row for row in rows_of(report)}
    held = report["comparison"]
    assert float(found["difference", "difference", ""]["value"]) == held["difference"]
    assert float(found["class", "difference", "cat"]["low"]) == held["classes"][3]["interval"]["low"]
    assert found["samples", "first_only", ""]["value"] == "10"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"])  # noqa: RUF001 # a wide =
def test_no_text_of_csv_is_a_formula(text: str) -> None:
    report = drawn.report(2, 200, names=[text, "b"])
    report["evaluation"].update(name=text, tags={text: text})
    report["results"]["hardest"][0]["id"] = text
    cells = [value for row in rows_of(report) for value in row.values()]
    assert f"'{text}" in cells
    assert text not in cells


def test_numbers_of_csv_are_no_texts() -> None:
    written = [cell(value) for value in (-0.5, 3, None, math.inf, -math.inf, math.nan, 1e-300)]
    assert written == ["-0.5", "3", "", "Infinity", "-Infinity", "NaN", "1e-300"]


def test_markdown_fits_into_a_comment_whatever_the_names() -> None:
    report = drawn.report(1000, 3000, names=[f"{'|`x` ' * 30}{at}" for at in range(1000)])
    report["evaluation"].update(name="n" * 200, tags={"k" * 100 + str(at): "v" * 200 for at in range(64)})
    for each in report["results"]["hardest"]:
        each["id"] = "s" * 1000
    assert len(write(report, "markdown").decode()) < 65_536


def test_markdown_tells_the_loss_and_folds_the_rest_up() -> None:
    text = write(drawn.report(samples=2000), "markdown").decode()
    assert text.startswith("## Evaluation: `resnet-50 on validation`\n\n**loss: 1.459**")
    assert text.count("<details>") == text.count("</details>") == 5
    for table in text.split("\n\n"):
        lines = [line for line in table.split("\n") if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in lines}) <= 1


def test_what_is_of_the_positive_class_is_called_so() -> None:
    report = drawn.report(2, 200)
    report["results"]["metrics"] = {"precision": {"binary": 0.75, "micro": 0.5, "macro": 0.25, "weighted": 0.125}}
    lines = write(report, "markdown").decode().split("\n")
    assert "| samples | batches | Precision, binary |" in lines
    assert "| 200 | 20 | 0.7500 |" in lines


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "`plain`"),
        ("a|b", "`a\\|b`"),
        ("@team #1 <b>", "`@team #1 <b>`"),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("two\nlines", "`two lines`"),
        ("\n", "` `"),
        ("x" * 200, "`" + "x" * 119 + "…`"),
    ],
)
def test_a_callers_text_is_code_in_markdown(text: str, written: str) -> None:
    assert given(text) == written


def test_figures_are_written_to_be_read() -> None:
    assert [figure(value) for value in (0.123456, 12345.678, 1.5e-7, -2.5, 0, None, "NaN", "-Infinity", 20000.0)] == [
        "0.1235", "12,346", "1.500e-07", "\u22122.500", "0", "\u2013", "not a number", "\u2212∞", "20,000",
    ]  # fmt: skip
    assert interval(0.48361, 0.49883) == "0.4836 to 0.4988"
    assert interval(-0.0298, 0.0131, signed=True) == "\u22120.030 to +0.013"
    assert within(0.491234, 0.48361, 0.49883) == "0.4912"
    assert change(0.5) == "+0.5000"
    assert column([0.339, 1, 0.5508, None]) == ["0.3390", "1.0000", "0.5508", "\u2013"]
    assert column([0.00273, 1.859, 10.91]) == ["0.003", "1.859", "10.910"]
    assert column([3.0, 20.0, 0.0]) == ["3", "20", "0"]
    assert column([1.5e-7, 0.25]) == ["1.500e-07", "0.2500"]
    assert changes([0.5, -0.25]) == ["+0.5000", "\u22120.2500"]
    assert bounded([(2.4321, 2.05, 2.81), (1.0, None, None), ("NaN", None, None)]) == (
        ["2.43", "1.00", "not a number"], ["2.05 to 2.81", "\u2013", "\u2013"],
    )  # fmt: skip
    assert bounded([(0.5, 0.4, 0.6)], signed=True) == (["+0.50"], ["+0.40 to +0.60"])
    assert bounded([(0.0, 0.0, 0.0)]) == (["0"], ["0 to 0"])
    assert moment("2026-11-22T01:00:25.595528+01:00") == "2026-11-22 00:00:25 UTC"
    assert percent(0.1234) == "12.3 %"


def test_what_draws_is_loaded_when_a_page_is_first_written() -> None:
    code = (
        "import sys\n"
        "from tests.evaluations.report import drawn\n"
        "from service.evaluations.report.write import write\n"
        "report = drawn.report(3, 100)\n"
        "write(report, 'csv'), write(report, 'markdown')\n"
        "assert not {'matplotlib', 'jinja2'} & sys.modules.keys()\n"
        "write(report, 'html')\n"
        "assert {'matplotlib', 'jinja2'} <= sys.modules.keys()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_home_folder_that_cannot_be_written_to_does_no_harm() -> None:
    code = (
        "from tests.evaluations.report import drawn\n"
        "from service.evaluations.report.write import write\n"
        "print(len(write(drawn.report(3, 100), 'html')) > 10_000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"HOME": "/proc/nowhere", "PYTHONPATH": ":".join(sys.path)},
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
