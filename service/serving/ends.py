"""How server processes end: what their parent knows of it, which computes nothing."""

from __future__ import annotations

from typing import Final

NOT_STARTED: Final = 3
"""The exit code where the engine or the workers do not start."""
STOP_SECONDS: Final = 5.0
"""How long after its drain a process may take to stop."""
