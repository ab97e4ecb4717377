from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.http.__main__ import main
from benchmarks.http.figures import FiguresError, Run, read, write
from benchmarks.http.servers import SUBJECT
from tests.benchmarks.made import rounds

MACHINE = {"cores": "2"}
RATES = {("json-1x10", SUBJECT): (90.0, 100.0), ("json-1x10", "naive"): (50.0, 60.0)}


@pytest.mark.parametrize("complete", [True, False])
def test_figures_read_back_the_same(tmp_path: Path, complete: bool) -> None:
    run = Run(MACHINE, 2, 5, complete, rounds(RATES))
    write(tmp_path / "raw.json", run)
    assert read(tmp_path / "raw.json") == run
    assert [path.name for path in tmp_path.iterdir()] == ["raw.json"]


def test_a_report_on_partial_figures_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "raw.json", Run(MACHINE, 3, 5, False, rounds(RATES)))
    monkeypatch.setattr("sys.argv", ["benchmarks.http", "--from", str(tmp_path / "raw.json")])
    assert main() == 0
    told = capsys.readouterr().out
    assert "Partial: the run ended early." in told
    assert "Medians of up to 3 interleaved rounds" in told
    assert "| 1x10 JSON | 16 | naive | 55.0 |" in told
    assert "not measured in this run:" in told


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"machine": {}, "samples": []})])
def test_other_files_hold_no_figures(tmp_path: Path, text: str) -> None:
    (tmp_path / "raw.json").write_text(text)
    with pytest.raises(FiguresError, match="no figures"):
        read(tmp_path / "raw.json")
