"""The generated TypeScript client: it compiles with strict types, and calls a real server from Node."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from tests.clients.generating import Client
from tests.needs import needs
from tests.serving import RunningServer

CALLS = Path(__file__).with_name("calls.ts")


def output(*command: str) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_strict_program_compiles_and_calls(client_in: Callable[[str], Future[Client]], server: RunningServer) -> None:
    tsc, node = needs("tsc"), needs("node")
    folder = client_in("typescript-fetch").result().folder.parent
    source = str(shutil.copy(CALLS, folder))
    options = ["--strict", "--target", "es2020", "--lib", "es2020,dom", "--module", "commonjs"]
    options += ["--outDir", str(folder / "out")]
    found = re.search(r"(\d+)\.(\d+)", output(tsc, "--version"))
    assert found
    if (int(found[1]), int(found[2])) < (4, 9):
        # The client tests objects with `in`, which tells older compilers nothing of an object's type.
        options.append("--suppressImplicitAnyIndexErrors")
    assert output(tsc, *options, source) == ""

    answers = json.loads(output(node, str(folder / "out" / "calls.js"), server.url))
    assert answers == {
        "anyLoss": [2, [0, -2]],
        "huber": [4.5, [-1, 2], 2],
        "typed": {"dtype": "float32", "shape": [2], "data": "AAAAAAAAAMA="},  # 0, -2
        "problem": [422, [["/target/0", "class index 7 is outside [0, 3)"]]],
    }
