"""Files of keys: what they hold, what is wrong with them, and their changes."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.access import FaultyKeys, Key, Keyring
from service.access.keyring import MAX_BYTES, MAX_KEYS, parse, written

ID, DIGEST = "0123456789ab", "0" * 64
GOOD = f'[[keys]]\nname = "team"\nid = "{ID}"\nsha256 = "{DIGEST}"\nscopes = ["compute"]\n'


def test_a_record_is_read_with_its_defaults() -> None:
    (key,) = parse(GOOD, "here")
    assert (key.name, key.id, key.sha256) == ("team", ID, DIGEST)
    assert key.scopes == {"compute"}
    assert [key.requests_per_second, key.elements_per_second, key.expires] == [None, None, None]
    assert not key.disabled


def test_a_written_record_is_read_as_it_was() -> None:
    key = Key(
        name="team.a-1",
        id=ID,
        sha256=DIGEST,
        scopes=frozenset({"read", "compute", "metrics"}),
        requests_per_second=0.5,
        requests_burst=3,
        elements_per_second=1e12,
        elements_burst=10**15,
        expires=datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC),
        disabled=True,
    )
    assert parse(written(key), "here") == [key]


def test_one_line_holds_keys_too() -> None:
    text = f'keys = [{{name = "team", id = "{ID}", sha256 = "{DIGEST}", scopes = ["read"]}}]'
    assert parse(text, "here")[0].scopes == {"read"}


def test_a_date_is_its_first_moment_in_utc() -> None:
    (key,) = parse(GOOD + "expires = 2027-01-01\n", "here")
    assert key.expires == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[keys]", "here is no TOML"),
        ("key = 1", "key: Extra inputs"),
        (GOOD.replace("team", "a b"), "keys[1].name"),
        (GOOD.replace("team", "é"), "keys[1].name"),
        (GOOD.replace(ID, "short"), "keys[1].id"),
        (GOOD.replace(DIGEST, "0" * 63), "keys[1].sha256"),
        (GOOD.replace(DIGEST, "g" * 64), "keys[1].sha256"),
        (GOOD.replace('"compute"', '"all"'), "keys[1].scopes"),
        (GOOD.replace('"compute"', ""), "keys[1].scopes"),
        (GOOD.replace("name", "nome"), "keys[1].name: Field required"),
        (GOOD + "requests_per_second = 0\n", "requests_per_second"),
        (GOOD + "requests_per_second = nan\n", "requests_per_second"),
        (GOOD + "elements_per_second = inf\n", "elements_per_second"),
        (GOOD + "requests_burst = 5\n", "requests_burst says nothing without requests_per_second"),
        (GOOD + "expires = 2027-01-01T00:00:00\n", "keys[1].expires"),
        (GOOD + 'expires = "soon"\n', "keys[1].expires"),
        (GOOD + GOOD.replace(ID, "ba9876543210"), "two keys have the name 'team'"),
        (GOOD + GOOD.replace("team", "other"), f"two keys have the id '{ID}'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(FaultyKeys) as caught:
        parse(text, "here")
    assert told in str(caught.value)
    assert str(caught.value).startswith("here")


def test_more_keys_than_may_be_are_refused() -> None:
    text = "".join(GOOD.replace("team", f"t{n}").replace(ID, f"{n:012}") for n in range(MAX_KEYS + 1))
    with pytest.raises(FaultyKeys, match="at most 4096"):
        parse(text, "here")


def test_a_file_that_is_missing_too_large_or_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    with pytest.raises(FaultyKeys, match="No such file"):
        Keyring(file=file).load()
    with pytest.raises(FaultyKeys, match="directory"):
        Keyring(file=tmp_path).load()
    file.write_bytes(b"\xff")
    with pytest.raises(FaultyKeys, match="UTF-8"):
        Keyring(file=file).load()
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(FaultyKeys, match="larger than"):
        Keyring(file=file).load()


def test_a_change_is_seen_once_it_happens_and_until_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(GOOD)
    keyring = Keyring(file=file)
    keyring.load()
    assert not keyring.changed()
    file.write_text(GOOD + "\n")
    assert keyring.changed()
    keyring.load()
    assert not keyring.changed()
    other = tmp_path / "other"  # as large and as old, but another file: how Kubernetes changes a secret
    other.write_text(GOOD + "\n")
    os.utime(other, ns=(0, file.stat().st_mtime_ns))
    other.rename(file)
    assert keyring.changed()


def test_a_faulty_file_is_not_read_again_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text("[[")
    keyring = Keyring(file=file)
    with pytest.raises(FaultyKeys):
        keyring.load()
    assert not keyring.changed()
    file.unlink()
    assert keyring.changed()


def test_a_text_never_changes() -> None:
    assert not Keyring(text=GOOD).changed()
