from __future__ import annotations

import io

from rich.console import Console

from service.evaluate.progress import Telling


def test_the_bar_tells_the_interval_at_the_runs_own_level() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with Telling(console, quiet=False) as telling:
        telling.expecting(10, 0)
        telling.added(4, {"samples": 4, "loss": 1.5, "interval": {"level": 0.5, "low": 1.25, "high": 1.75}})
    assert "loss 1.5 ± 0.25" in console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    with Telling(console, quiet=False) as telling:
        telling.added(1, {"samples": 1, "loss": "NaN", "interval": None})
    assert "loss NaN" in console.file.getvalue()  # type: ignore[attr-defined]
