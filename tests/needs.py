"""Commands of the system that some tests run."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(command: str) -> str:
    """The command's path; without it the test skips, and in CI fails."""
    found = shutil.which(command)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{command} is not installed: make system")
        pytest.skip(f"{command} is not installed")
    return found
