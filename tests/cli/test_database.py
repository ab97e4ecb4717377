"""`gradwire database`, and a server whose database cannot be used."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.evaluations.store.tables import REVISIONS

HEAD = REVISIONS[-1]


def run(*arguments: str, url: str) -> Result:
    return CliRunner(env={"GRADWIRE_DATABASE_URL": url}).invoke(app, [*arguments])


def test_a_database_is_brought_to_the_tables_of_this_version_and_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    empty = run("database", "current", url=url)
    assert (empty.exit_code, empty.stdout) == (1, f"{url}: empty, this version is at {HEAD}\n")
    first, again = (run("database", "upgrade", url=url) for _ in range(2))
    assert (first.exit_code, first.stdout) == (0, f"{url}: at {HEAD}, was empty\n")
    assert (again.exit_code, again.stdout) == (0, f"{url}: at {HEAD}\n")
    current = run("database", "current", url=url)
    assert (current.exit_code, current.stdout) == (0, f"{url}: at {HEAD}, this version is at {HEAD}\n")


@pytest.mark.parametrize("command", ["upgrade", "current"])
def test_a_database_that_cannot_be_reached_ends_the_command(command: str, tmp_path: Path) -> None:
    done = run("database", command, url=f"postgresql://someone:secret@/evaluations?host={tmp_path}")
    assert done.exit_code == 2
    assert "the database of evaluations: " in done.stderr
    assert "secret" not in done.stderr


def test_a_server_starts_without_a_database_that_cannot_be_reached_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.serving.run.run", lambda settings: 0)
    done = run("serve", "--port", "0", url=f"postgresql://someone:secret@/evaluations?host={tmp_path}")
    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.parametrize("command", [("database", "current"), ("serve", "--port", "0")])
def test_what_is_wrong_with_a_database_is_told_once(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])  # without pytest's, as where the command really runs
    (tmp_path / "file").write_text("in the way")
    done = run(*command, url=f"sqlite:///{tmp_path}/file/a.db")
    assert done.exit_code == 2
    assert done.stderr.count("the database of evaluations: ") == 1
    assert done.stderr.startswith("gradwire: the database of evaluations: ")


def test_a_server_does_not_start_on_a_database_of_a_newer_one(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    assert run("database", "upgrade", url=f"sqlite:///{file}").exit_code == 0
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    done = run("serve", "--port", "0", url=f"sqlite:///{file}")
    assert done.exit_code == 2
    assert "a newer Gradwire has migrated it" in done.stderr
