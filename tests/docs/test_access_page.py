"""What docs/access.md shows is what happens: its commands make keys, and a call with one answers what is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx

from service.access import SCOPES, Key, Keyring
from service.access.keyring import parse
from tests.docs import readme
from tests.needs import needs
from tests.serving import serving

PAGE = readme.README.parent / "docs" / "access.md"
SHOWN = "http://127.0.0.1:8000"


def run(script: str, directory: Path, **variables: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=540,  # a guard against hanging
        cwd=directory,
        env=os.environ | {"PATH": path, **variables},
    )
    return done.stdout


def test_the_commands_make_keys_and_a_call_with_one_answers_what_is_shown(tmp_path: Path) -> None:
    needs("curl")
    make, call = [block.text for block in readme.blocks(PAGE) if block.language == "sh"]
    (answer,) = [block.text for block in readme.blocks(PAGE) if block.language == "json"]
    team, prometheus, *listed = run(make, tmp_path).splitlines()
    keys = Keyring(file=tmp_path / "keys.toml").load()
    assert [key.name for key in keys] == ["team-a", "prometheus"]
    assert len(listed) == 3
    with serving(GRADWIRE_API_KEYS_FILE=str(tmp_path / "keys.toml")) as server:
        command = call.replace(SHOWN, server.url)
        assert json.loads(run(command, tmp_path, KEY=team)) == json.loads(answer)
        assert json.loads(run(command, tmp_path, KEY=prometheus))["status"] == 403
        told = httpx.get(f"{server.url}/v1/limits", headers={"authorization": f"Bearer {team}"}).headers
        assert told["ratelimit-policy"] == '"requests";q=50;w=1, "elements";q=1000000;qu="elements";w=1'


def test_the_record_shown_has_every_member_and_is_sound() -> None:
    (shown,) = [block.text for block in readme.blocks(PAGE) if block.language == "toml"]
    (key,) = parse(shown, str(PAGE))
    assert key.name == "team-a"
    assert set(Key.model_fields) == {line.partition(" = ")[0] for line in shown.splitlines()[1:]}


def test_every_scope_is_told() -> None:
    rows = [line.split("|")[1].strip() for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert [row.strip("`") for row in rows if row.strip("`") in SCOPES] == list(SCOPES)
    assert set(SCOPES) <= {row.strip("`") for row in rows}
