"""What a JSON text is told to become before it is read: never less than what its reader takes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from service.wire.structure import CHUNK, structure

N = 350_000
"""Just beyond a size at which a dictionary grows, so that it has twice the room that it needs."""

SCRIPT = f"""
import json, os, random, sys
import orjson
from service.wire.structure import structure

def joined(pieces, ends="[]"):
    return (ends[0] + ",".join(pieces) + ends[1]).encode()

N = {N}
TEXTS = {{
    "empty lists": lambda: joined(["[]"] * N),
    "empty objects": lambda: joined(["{{}}"] * N),
    "lists of one": lambda: joined(["[1.5]"] * N),
    "short rows": lambda: joined(["[0.25,0.5,0.75]"] * N),
    "objects of one": lambda: joined([f'{{{{"{{at}}":{{at}}}}}}' for at in range(N)]),
    "members": lambda: joined([f'"{{at}}":{{at}}' for at in range(N)], "{{}}"),
    "members of large numbers": lambda: joined([f'"{{at}}":{{at + 2**62}}' for at in range(N)], "{{}}"),
    "strings": lambda: joined([f'"{{at}}"' for at in range(N)]),
    "digits": lambda: joined(["1"] * N),
    "halves": lambda: joined(["0.5"] * N),
    "long numbers": lambda: joined([repr(at / 7) for at in range(N)]),
    "large numbers": lambda: joined([str(2**62 + at) for at in range(N)]),
    "base64": lambda: joined(['"' + "abc/" * N + '"']),
    "base64 with escapes": lambda: joined(['"' + "abc\\\\/" * N + '"']),
    "a wide character in a long string": lambda: joined(['"' + "a" * 4 * N + chr(0x1F600) + '"']),
    "an escaped one": lambda: joined(['"' + "a" * 4 * N + "\\\\ud83d\\\\ude00" + '"']),
    "wide names": lambda: joined([f'"{{at}}{{chr(0x1F600)}}":1' for at in range(N)], "{{}}"),
}}

def mixed(seed):
    made = random.Random(seed)
    kinds = ["[]", "{{}}", "1", "0.1", str(2**62), '"a"', '["b"]', '{{"c":[1,2]}}', "null", f'"{{chr(0x4E2D) * 20}}"']
    kinds = made.sample(kinds, made.randint(1, 4))
    return joined(made.choices(kinds, k=N))

for seed in map(int, sys.argv[1:]):
    TEXTS[f"mixed by {{seed}}"] = lambda seed=seed: mixed(seed)

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

for name, text in TEXTS.items():
    for reader in (orjson, json):
        child = os.fork()  # what one has freed would serve the next
        if not child:
            made = text()
            bound = structure(made).bytes
            with open("/proc/self/clear_refs", "w") as refs:
                refs.write("5")  # the peak is now
            before = peak()
            reader.loads(made)
            print(json.dumps([name, reader.__name__, peak() - before, bound]), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures by Linux's /proc")
def test_no_reader_takes_more_than_is_told() -> None:
    seeds = [str(random.randrange(1 << 32)) for _ in range(6)]  # noqa: S311 - no secret
    done = subprocess.run([sys.executable, "-c", SCRIPT, *seeds], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 46
    # A page here and there, and what the first call of a reader sets up, is not the text's.
    beyond = [(name, reader, taken / bound) for name, reader, taken, bound in told if taken > bound + (1 << 20)]
    assert not beyond
    assert all(taken > bound / 100 for *_, taken, bound in told), told  # it has measured something


def test_what_is_counted_is_what_there_is() -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 - no secret
    made = random.Random(seed)  # noqa: S311
    text = bytes(made.choices(b'[]{},":0a \\/', k=2 * CHUNK + 17))
    containers = text.count(b"[") + text.count(b"{")
    assert structure(text) == (len(text), text.count(b","), text.count(b'"'), containers, False), seed


@pytest.mark.parametrize("at", [0, CHUNK - 6, CHUNK - 1, CHUNK, 2 * CHUNK + 1])
@pytest.mark.parametrize("piece", [b"\\u4e2d", "\N{GREEK SMALL LETTER ALPHA}".encode(), b"\xff"])
def test_a_character_that_widens_is_seen_wherever_it_stands(at: int, piece: bytes) -> None:
    text = b"a" * at + piece + b"a" * CHUNK
    assert structure(text).wide
    assert structure(memoryview(text)).wide


def test_nothing_has_no_structure() -> None:
    assert structure(b"") == (0, 0, 0, 0, False)
    assert not structure(b"\\").wide
