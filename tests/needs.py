"""Commands of the system and packages that some tests compare with."""

from __future__ import annotations

import importlib
import io
import os
import shutil
import sys
from typing import Any

import pytest


def needs(command: str) -> str:
    """The command's path; without it the test skips, and in CI fails."""
    found = shutil.which(command)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{command} is not installed: make system")
        pytest.skip(f"{command} is not installed")
    return found


def needs_package(module: str) -> Any:
    """The module; without it the test skips, and in CI fails."""
    try:
        found = importlib.import_module(module)
    except ImportError:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{module} is not installed: make install-dev")
        pytest.skip(f"{module} is not installed")
    if "absl.logging" in sys.modules:
        # Its handler closes the stream that it was made with when logging is set up anew: pytest's own, of this test.
        sys.modules["absl.logging"].get_absl_handler().python_handler.setStream(io.StringIO())
    return found
