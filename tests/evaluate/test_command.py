"""What the command makes of a run, of refusals and of thresholds, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from service.cli import app
from tests.evaluate.conftest import Run
from tests.evaluate.standin import StandIn

LOGITS = np.random.default_rng(3).normal(size=(40, 3))
LABELS = LOGITS.argmax(1)
BAD: tuple[int, dict[str, str], dict[str, Any]] = (
    422,
    {},
    {"status": 422, "errors": [{"pointer": "/target/3", "detail": "class index 7 is outside [0, 3)"}]},
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.savez(tmp_path / "val.npz", input=LOGITS, target=LABELS, other=np.zeros(40), short=np.zeros(39))
    return tmp_path / "val.npz"


def test_the_run_is_made_as_asked(file: Path, run: Run, standin: StandIn) -> None:
    (file.parent / "names.txt").write_text("ant\nbee\ncat\n")
    (file.parent / "w.json").write_text('{"cat": 3, "ant": 1, "bee": 2}')
    metrics = ("--metric", "top_k_accuracy:k=2", "--metric", "f1", "--fail-if", "accuracy<0.5", "--fail-if", "loss>9")
    options = ("--option", "label_smoothing=0.1", "--weights", file.parent / "w.json", "--tag", "model=v7")
    run(file, "--loss", "CrossEntropyLoss", "--name", "n", "--classes", file.parent / "names.txt", *metrics, *options)
    assert standin.specs[standin.run()] == {
        "loss": "cross_entropy",
        "name": "n",
        "options": {"label_smoothing": 0.1, "weight": [1.0, 2.0, 3.0]},
        "metrics": [{"name": "top_k_accuracy", "k": 2}, {"name": "f1"}, {"name": "accuracy"}],
        "classes": ["ant", "bee", "cat"],
        "tags": {"model": "v7"},
        "expected_samples": 40,
    }
    assert standin.sealed == {standin.run()}


def test_what_a_run_is_by_default_its_server_knows(file: Path, run: Run, standin: StandIn) -> None:
    run(file, "--loss", "cross_entropy")
    assert standin.specs[standin.run()] == {"loss": "cross_entropy", "expected_samples": 40}


def test_what_is_not_by_default_is_told(file: Path, run: Run, standin: StandIn) -> None:
    run(file, "--loss", "cross_entropy", "--reduction", "sum", "--dtype", "float32", "--confidence", "0.9")
    told = {"reduction": "sum", "dtype": "float32", "confidence": 0.9}
    assert standin.specs[standin.run()] == {"loss": "cross_entropy", "expected_samples": 40} | told


def test_figures_are_printed_and_reports_written(file: Path, run: Run, standin: StandIn) -> None:
    reports = [file.parent / f"out.{suffix}" for suffix in ("html", "json", "csv", "md")]
    told = run(file, "--loss", "cross_entropy", *[part for path in reports for part in ("--report", path)])
    assert [line.split() for line in told.stdout.splitlines()][-1] == ["accuracy", "1"]
    assert reports[0].read_text() == "a report as html"
    assert reports[3].read_text() == "a report as markdown"
    printed = run(file, "--loss", "cross_entropy", "--json").stdout
    assert json.loads(printed) == json.loads(reports[1].read_text())


def test_a_key_goes_with_every_call(file: Path, run: Run, standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADWIRE_API_KEY", "gw_secret")
    run(file, "--loss", "cross_entropy")
    assert standin.tokens == {"Bearer gw_secret"}


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        (("--fail-above", "0.01"), "loss > 0.01 fails"),
        (("--fail-if", "accuracy < 1.5"), "accuracy is 1: accuracy < 1.5 fails"),
        (("--fail-if", "accuracy>=1"), "accuracy >= 1 fails"),
        (("--fail-if", "classes.1.5 mm.loss>2"), "classes.1.5 mm.loss is 2.5"),
        (("--fail-if", "top_k_accuracy<0.9"), "top_k_accuracy is 0.8"),
        (("--fail-if", "f1.per_class.1<0.9"), "f1.per_class.1 is 0.5"),
        (("--fail-if", "sample_loss.quantiles.0.99>1"), "sample_loss.quantiles.0.99 is 3"),
        (("--fail-if", "groups.de.loss<1"), "groups.de.loss has no value"),
        (("--fail-if", "interval.high<1"), "interval.high has no value"),
    ],
)
def test_a_passed_threshold_exits_with_1(
    conditions: tuple[str, str], told: str, file: Path, run: Run, standin: StandIn
) -> None:
    standin.results = {
        "classes": [{"class": 0, "name": "1", "loss": 1.0}, {"class": 1, "name": "1.5 mm", "loss": 2.5}],
        "groups": [{"group": "de", "loss": "NaN"}],
        "interval": None,
        "sample_loss": {"quantiles": [{"q": 0.9, "value": 1.0}, {"q": 0.99, "value": 3.0}]},
        "metrics": {"accuracy": 1.0, "top_k_accuracy": {"k": 2, "value": 0.8}, "f1": {"per_class": [0.9, 0.5]}},
    }
    found = run(file, "--loss", "cross_entropy", *conditions, "--fail-if", "samples<1", exits=1)
    assert told in found.stderr
    assert found.stderr.count("gradwire:") == 1


def test_a_threshold_on_what_is_not_there_is_wrong_usage(file: Path, run: Run, standin: StandIn) -> None:
    assert (
        "there is no figure accuracy.maximum"
        in run(file, "--loss", "cross_entropy", "--fail-if", "accuracy.maximum<1", exits=2).stderr
    )
    standin.results = {"metrics": {"f1": {"macro": 0.9, "per_class": [0.9, 0.5]}}}
    told = run(file, "--loss", "cross_entropy", "--fail-if", "f1<1", exits=2).stderr
    assert "f1 is no single figure; it has macro, per_class" in told


def test_a_figure_that_is_not_there_hides_no_threshold_that_is_passed(file: Path, run: Run, standin: StandIn) -> None:
    conditions = ("--fail-if", "accuracy.maximum<1", "--fail-above", "0.01")
    told = run(file, "--loss", "cross_entropy", *conditions, exits=1).stderr
    assert "loss > 0.01 fails" in told
    assert "there is no figure accuracy.maximum" in told


def test_a_refused_key_says_where_it_is_from(file: Path, run: Run, standin: StandIn) -> None:
    standin.no_run = {"status": 401, "detail": "the key is unknown"}
    told = run(file, "--loss", "cross_entropy", exits=3).stderr
    assert "the key is unknown; the API key is that of GRADWIRE_API_KEY or --api-key" in told


def test_how_many_of_the_hardest_samples_are_kept_is_asked(file: Path, run: Run, standin: StandIn) -> None:
    run(file, "--loss", "cross_entropy", "--hardest", 0)
    assert standin.specs[standin.run()]["hardest"] == 0


@pytest.mark.parametrize(
    ("samples", "told"),
    [(40, "95 % bootstrap interval: 0.1 to 0.3"), (2, "too few samples for an interval")],
)
def test_the_interval_is_told_as_the_report_tells_it(
    samples: int, told: str, file: Path, run: Run, standin: StandIn
) -> None:
    normal = {"level": 0.95, "low": -0.1, "high": 0.5, "method": "normal"}
    ends = {"level": 0.95, "low": 0.1, "high": 0.3, "units": samples}
    standin.results = {"interval": normal, "bootstrap": ends, "samples": samples}
    assert told in run(file, "--loss", "cross_entropy").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--loss is needed"),
        (("--loss", "nosuch"), "no loss 'nosuch'"),
        (("--loss", "expression"), "no loss 'expression' that takes tensors of its own"),
        (("--loss", "cross_entropy", "--target", "label"), "no column 'label'; there are input, target, other, short"),
        (("--loss", "cross_entropy", "--tensor", "mask=other"), "cross_entropy has no tensor 'mask'"),
        (("--loss", "cross_entropy", "--tensor", "mask"), "name=value is needed"),
        (("--loss", "cross_entropy", "--fail-if", "accuracy=1"), "no condition"),
        (("--loss", "cross_entropy", "--fail-if", "accuracy<high"), "'high' is no number"),
        (("--loss", "cross_entropy", "--fail-if", "accuracy<nan"), "nothing compares with NaN"),
        (("--loss", "cross_entropy", "--fail-above", "nan"), "nothing compares with NaN"),
        (("--loss", "cross_entropy", "--confidence", "1.5"), "--confidence 1.5: a level between 0 and 1"),
        (("--run", "ev_0", "--confidence", "nan"), "--confidence nan: a level between 0 and 1"),
        (("--loss", "huber_loss", "--option", "delta=NaN"), "--option delta=NaN: a finite number"),
        (("--loss", "cross_entropy", "--metric", "f1:threshold=-Infinity"), "threshold=-Infinity: a finite number"),
        (("--loss", "cross_entropy", "--report", "out.pdf"), "its suffix tells the format"),
        (("--loss", "cross_entropy", "--report", "/no/such/out.md"), "no folder"),
        (("--loss", "cross_entropy", "--classes", "no-such-file"), "nor a file"),
        (("--loss", "cross_entropy", "--weights", "no-such-file"), "No such file"),
        (("--loss", "cross_entropy", "--tag", "a=1", "--tag", "a=2"), "a is there twice"),
        (("--loss", "cross_entropy", "--database", "sqlite://"), "--database is for runs in this process"),
        *[
            (("--run", "ev_0", option, value), f"{option} is what a run is made with")
            for option, value in (
                ("--option", "label_smoothing=1"),
                ("--weights", "weights.json"),
                ("--reduction", "mean"),
                ("--dtype", "float64"),
                ("--metric", "accuracy"),
                ("--name", ""),
                ("--tag", "a=1"),
                ("--hardest", "0"),
                ("--confidence", "0.95"),
            )
        ],
    ],
)
def test_wrong_usage_exits_with_2(
    arguments: tuple[str, ...], told: str, file: Path, run: Run, standin: StandIn
) -> None:
    assert told in run(file, *arguments, exits=2).stderr
    assert not standin.specs


def test_files_that_are_not_there_or_of_no_known_kind_are_wrong_usage(tmp_path: Path, run: Run) -> None:
    (tmp_path / "a.txt").touch()
    assert "no such file" in run(tmp_path / "*.parquet", "--loss", "mse_loss", exits=2).stderr
    assert "no known kind of file" in run(tmp_path / "a.txt", "--loss", "mse_loss", exits=2).stderr


def test_a_copy_of_a_file_is_refused(file: Path, run: Run) -> None:
    copy = file.with_name("copy.npz")
    copy.write_bytes(file.read_bytes())
    assert "hold the same" in run(file, copy, "--loss", "cross_entropy", exits=2).stderr


def test_arrays_of_different_lengths_are_refused(file: Path, run: Run) -> None:
    told = run(file, "--loss", "mse_loss", "--input", "other", "--target", "short", exits=3).stderr
    assert "different numbers of rows: other 40, short 39" in told


def test_a_refused_batch_is_told_by_file_and_row(file: Path, run: Run, standin: StandIn) -> None:
    standin.next_answers.append(BAD)
    told = run(file, "--loss", "cross_entropy", "--batch-size", 10, "--senders", 1, exits=3).stderr
    assert "val.npz, row 3: target: class index 7 is outside [0, 3)" in told
    assert f"run {standin.run()}, and stays there: a mended file is another one" in told
    assert not standin.sealed


def test_a_body_that_is_too_large_says_which_option_helps(file: Path, run: Run, standin: StandIn) -> None:
    standin.next_answers.append((413, {}, {"detail": "the limit is 10 bytes"}))
    told = run(file, "--loss", "cross_entropy", exits=3).stderr
    assert "rows 0 to 39: the limit is 10 bytes; a smaller --batch-size" in told


def test_a_full_run_is_no_matter_of_the_batch_size(file: Path, run: Run, standin: StandIn) -> None:
    standin.next_answers.append((409, {}, {"detail": "the evaluation would have more samples than one may have"}))
    told = run(file, "--loss", "cross_entropy", exits=3).stderr
    assert "409: the evaluation would have more samples than one may have" in told
    assert "--batch-size" not in told


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again_no_sooner_than_it_says(
    status: int, file: Path, run: Run, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("service.evaluate.service.asyncio.sleep", sleep)
    standin.next_answers = [(status, {"retry-after": "3"}, {}), (status, {}, {})]
    run(file, "--loss", "cross_entropy")
    assert len(standin.taken()) == 1
    assert waits[0] == 3
    assert 0 <= waits[1] <= 0.5


def test_patience_ends(file: Path, run: Run, standin: StandIn) -> None:
    standin.next_answers = [(503, {"retry-after": "60"}, {"detail": "the service is stopping"})]
    told = run(file, "--loss", "cross_entropy", exits=3).stderr
    assert "503: the service is stopping (1 try in 0 s)" in told


def test_the_last_try_comes_when_patience_ends(
    file: Path, run: Run, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("service.evaluate.service.asyncio.sleep", sleep)
    monkeypatch.setattr("service.evaluate.service.time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr("service.evaluate.service.random.uniform", lambda _, most: most)
    standin.next_answers = [(503, {}, {})] * 9
    told = run(file, "--loss", "cross_entropy", exits=3).stderr
    assert "(7 tries in 10 s)" in told  # at 0, 0.25, 0.75, 1.75, 3.75, 7.75 and, in place of 15.75, 10 s
    assert len(standin.next_answers) == 2


def test_a_run_that_is_not_there_fails(file: Path, run: Run) -> None:
    told = run(file, "--run", "ev_9", exits=3).stderr
    assert "404: there is no such evaluation" in told
    assert "what was sent" not in told


def test_a_run_that_cannot_be_is_wrong_usage(file: Path, run: Run, standin: StandIn) -> None:
    standin.no_run = {"status": 422, "errors": [{"pointer": "/metrics/0", "detail": "is no metric"}]}
    told = run(file, "--loss", "cross_entropy", "--metric", "nosuch", exits=2).stderr
    assert told == "gradwire: such a run cannot be: /metrics/0: is no metric\n"


def test_a_server_that_is_none_is_told(file: Path) -> None:
    for url, code, told in (
        ("losses.example", 2, "a URL such as"),
        ("ftp://losses.example", 2, "a URL such as"),
        ("http://losses.example:port", 2, "Invalid port"),
        ("http://127.0.0.1:9", 3, "http://127.0.0.1:9 cannot be reached: ConnectError"),
    ):
        command = ["evaluate", str(file), "--loss", "cross_entropy", "--server", url, "--patience", "0"]
        result = CliRunner().invoke(app, command)
        assert (result.exit_code, told in result.stderr) == (code, True), result.stderr
