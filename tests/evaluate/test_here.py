"""The command with the service itself, in this process: what it reports is right, however it came about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from service.cli import app

ROWS = 3000
LOGITS = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(1))
LABELS = LOGITS.argmax(1).where(torch.arange(ROWS) % 4 > 0, torch.arange(ROWS) % 5)
ASKED = ("--loss", "cross_entropy", "--classes", "5", "--fail-if", "accuracy<0.5", "--batch-size", "100")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.savez(tmp_path / "a.npz", input=LOGITS.numpy(), target=LABELS.numpy())
    return tmp_path / "a.npz"


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def results(file: Path, database: str, *arguments: str) -> dict[str, Any]:
    result = evaluate(file, *ASKED, "--database", f"sqlite:///{file.parent}/{database}.db", "--json", *arguments)
    assert result.exit_code == 0, (result.stderr, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)["results"]
    return found


def test_the_report_is_torchs_loss_of_all_rows(file: Path) -> None:
    found = results(file, "runs")
    expected = torch.nn.functional.cross_entropy(LOGITS.double(), LABELS).item()
    assert found["loss"] == pytest.approx(expected, rel=1e-14)
    assert found["metrics"]["accuracy"] == (LOGITS.argmax(1) == LABELS).double().mean().item()
    assert found["samples"] == ROWS


def test_neither_senders_nor_the_wire_change_a_bit(file: Path) -> None:
    one = results(file, "one", "--senders", "1")
    assert results(file, "two", "--senders", "8", "--wire", "json") == one


def test_a_bad_row_is_told_by_file_and_row(file: Path) -> None:
    labels = LABELS.clone()
    labels[1234] = 7
    np.savez(file, input=LOGITS.numpy(), target=labels.numpy())
    result = evaluate(file, *ASKED, "--database", f"sqlite:///{file.parent}/bad.db")
    assert result.exit_code == 3
    assert f"{file}, row 1234: target: class index 7 is outside [0, 5)" in result.stderr


def test_every_report_is_written(file: Path) -> None:
    paths = [file.parent / f"out{suffix}" for suffix in (".html", ".json", ".csv", ".md")]
    results(file, "runs", *[part for path in paths for part in ("--report", str(path))])
    html, as_json, csv, markdown = (path.read_text() for path in paths)
    assert html.lower().startswith("<!doctype html>")
    assert json.loads(as_json)["results"]["samples"] == ROWS
    assert "accuracy" in csv
    assert "accuracy" in markdown.lower()


def test_a_database_that_cannot_be_used_fails(file: Path) -> None:
    result = evaluate(file, *ASKED, "--database", "nosuch://database")
    assert result.exit_code == 3
    assert "the service cannot start here: " in result.stderr
