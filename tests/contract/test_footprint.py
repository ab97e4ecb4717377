"""The memory that computing takes stays below what arithmetic says before it is taken, for every loss."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from schemas.losses import LOSSES

SLACK = 3 << 20
"""Bytes that the allocator and the interpreter may take besides."""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are the Linux kernel's")
@pytest.mark.parametrize("dtype", ["float32"])
def test_computing_takes_no_more_memory_than_the_arithmetic_says(dtype: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.footprints", dtype, "200000"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {name for name, *_ in lines} == set(LOSSES)
    beyond = [(name, how, int(peak), int(bound)) for name, how, peak, bound in lines if int(peak) > int(bound) + SLACK]
    assert beyond == []
