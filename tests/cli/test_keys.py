"""`gradwire keys`: new keys, their file, and what is told of them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.access import Keyring
from service.access.keyring import parse
from service.access.token import sound
from service.cli import app
from tests.keys import key


def run(*arguments: str, given: str = "") -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["keys", *arguments], input=given)


def test_a_new_key_is_printed_once_before_its_record() -> None:
    done = run("new", "--name", "team-a", "--requests-per-second", "50", "--expires", "2027-01-01")
    assert done.exit_code == 0
    token, empty, record = done.stdout.split("\n", 2)
    assert sound(token.encode())
    assert empty == ""
    assert token not in record
    (made,) = parse(record, "printed")
    assert (made.name, made.requests_per_second) == ("team-a", 50)
    assert made.scopes == {"compute", "read"}
    assert made.expires is not None
    assert made.expires.isoformat() == "2027-01-01T00:00:00+00:00"


def test_new_keys_are_added_to_a_file_of_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    first = run("new", "--name", "a", "--scope", "read", "--scope", "metrics", "--file", str(file))
    file.write_text("# ours\n" + file.read_text())
    quotas = ["--elements-per-second", "1000000", "--elements-burst", "5000000", "--requests-burst", "9"]
    second = run("new", "--name", "b", "--requests-per-second", "0.5", *quotas, "--file", str(file))
    assert first.exit_code == second.exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("# ours\n")
    one, other = Keyring(file=file).load()
    assert one.name == "a"
    assert one.scopes == {"read", "metrics"}
    assert (other.elements_per_second, other.elements_burst, other.requests_burst) == (1e6, 5_000_000, 9)
    for done, name in ((first, "a"), (second, "b")):
        assert sound(done.stdout.strip().encode())
        assert done.stdout.strip() not in file.read_text()
        assert run("check", "--file", str(file), given=done.stdout).stdout.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--name", "a b"], "name"),
        (["--name", "a", "--scope", "all"], "scopes"),
        (["--name", "a", "--requests-per-second", "0"], "requests_per_second"),
        (["--name", "a", "--requests-burst", "3"], "requests_burst says nothing"),
        (["--name", "a", "--expires", "soon"], "soon"),
        ([], "--name"),
    ],
)
def test_a_bad_option_is_told_and_fails(options: list[str], told: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    done = run("new", *options, "--file", str(file))
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stdout == ""
    assert not file.exists()


def test_a_name_that_is_taken_and_a_faulty_file_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    for content, told in [(key("a").record, "two keys have the name 'a'"), ("[[", "no TOML")]:
        file.write_text(content)
        done = run("new", "--name", "a", "--file", str(file))
        assert done.exit_code == 2
        assert told in done.stderr
        assert done.stdout == ""
        assert file.read_text() == content
    missing = run("new", "--name", "a", "--file", str(tmp_path / "none" / "keys.toml"))
    assert missing.exit_code == 2
    assert "No such file" in missing.stderr


def test_the_list_tells_all_but_secrets(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    keys = [
        key("a", requests_per_second=50, requests_burst=100, expires="2020-01-01T00:00:00Z"),
        key("b", "read", disabled=True),
        key("c", elements_per_second=1e6, expires="2999-01-01T00:00:00Z"),
    ]
    file.write_text("".join(held.record for held in keys))
    done = run("list", "--file", str(file))
    assert done.exit_code == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert "50 (at once 100)" in lines["a"]
    assert "expired 2020-01-01" in lines["a"]
    assert "disabled" in lines["b"]
    assert "1000000" in lines["c"]
    assert "valid until 2999-01-01 00:00 UTC" in lines["c"]
    for held, key_ in zip(keys, Keyring(file=file).load(), strict=True):
        assert key_.id in done.stdout
        assert key_.sha256 not in done.stdout
        assert held.token not in done.stdout


def test_a_faulty_file_is_told_by_list_and_check(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text("[[keys]]\n")
    for command in ("list", "check"):
        done = run(command, "--file", str(file))
        assert done.exit_code == 2
        assert "keys[1].name: Field required" in done.stderr


def test_check_tells_why_a_key_would_be_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    late, off, other = key("late", expires="2020-01-01T00:00:00Z"), key("off", disabled=True), key("other")
    file.write_text(late.record + off.record)
    for given, told in [(late.token, "expired"), (off.token, "disabled"), (other.token, "unknown"), ("x", "misspelt")]:
        done = run("check", "--file", str(file), given=f"{given}\n")
        assert done.exit_code == 1
        assert f"this key is {told}" in done.stderr


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"GRADWIRE_API_KEYS_FILE": "/nowhere/keys.toml"}, "/nowhere/keys.toml: No such file"),
        ({"GRADWIRE_API_KEYS": "[["}, "GRADWIRE_API_KEYS is no TOML"),
        ({"GRADWIRE_API_KEYS": "[[keys]]"}, "keys[1].name: Field required"),
        ({"GRADWIRE_API_KEYS": "keys = []", "GRADWIRE_API_KEYS_FILE": "x"}, "both set"),
        ({"GRADWIRE_CORS_ORIGINS": "lab.example"}, "cors_origins"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_faulty_keys_end_the_start_with_a_message(variables: dict[str, str], told: str, workers: str) -> None:
    done = CliRunner(env={"COLUMNS": "200", **variables}).invoke(
        app, ["serve", "--workers", workers, "--device", "cpu"]
    )
    assert done.exit_code == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
