"""`gradwire vectors`: files of test vectors, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from typer.testing import CliRunner

from service.cli import app
from tests.vectors.made import made


def run(*arguments: str) -> Any:
    """Run the command."""
    return CliRunner(env={"COLUMNS": "250", "TERM": "dumb"}).invoke(app, ["vectors", *arguments])


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    chosen = ["cross_entropy", "TripletMarginLoss", "linear_cross_entropy", "ctc_loss"]
    found = []
    for folder in (tmp_path / "one", tmp_path / "two" / "deep"):
        command = [str(Path(sys.executable).parent / "gradwire"), "vectors", *chosen]
        subprocess.run([*command, "--out", str(folder), "--format", "both"], check=True, timeout=300)
        found.append(contents(folder))
    assert found[0] == found[1]
    names = ("cross_entropy", "triplet_margin_loss", "linear_cross_entropy", "ctc_loss")
    assert found[0].keys() == {"index.json"} | {f"{name}.{form}" for name in names for form in ("json", "safetensors")}
    for name in names:
        assert found[0][f"{name}.json"] == made(name).as_json()
        assert found[0][f"{name}.safetensors"] == made(name).as_safetensors()


def test_the_index_tells_origin_and_digests(tmp_path: Path) -> None:
    result = run("huber_loss", "kl_div", "huber_loss", "--out", str(tmp_path))
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}: 2 files of 2 losses, and index.json\n")
    index = json.loads((tmp_path / "index.json").read_bytes())
    assert (index["format"], index["gradwire"], index["torch"]) == (1, version("gradwire"), str(torch.__version__))
    assert index["seed"]
    assert [entry["file"] for entry in index["files"]] == ["huber_loss.json", "kl_div.json"]
    for entry in index["files"]:
        data = (tmp_path / entry["file"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        document = json.loads(data)
        assert (document["loss"], len(document["cases"])) == (entry["loss"], entry["cases"])
        assert {name: document[name] for name in ("format", "gradwire", "torch", "seed")} == {
            name: index[name] for name in ("format", "gradwire", "torch", "seed")
        }


def test_one_form_alone_is_written(tmp_path: Path) -> None:
    assert run("mse_loss", "--out", str(tmp_path), "--format", "safetensors").exit_code == 0
    assert contents(tmp_path).keys() == {"index.json", "mse_loss.safetensors"}


def test_an_unknown_loss_is_told_before_anything_is_written(tmp_path: Path) -> None:
    result = run("mse_loss", "nope", "--out", str(tmp_path / "new"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'nope'" in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("mse_loss", "--out", str(tmp_path / "file" / "in"))
    assert result.exit_code == 2
    assert "gradwire:" in result.stderr
