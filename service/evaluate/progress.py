"""What is told while an evaluation goes on: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Count(ProgressColumn):
    """Samples, of how many where that is known, and how many a second."""

    def render(self, task: Task) -> Text:
        of = f" of {task.total:,.0f}" if task.total is not None else ""
        rate = f", {task.speed:,.0f}/s" if task.speed else ""
        return Text(f"{task.completed:,.0f}{of} samples{rate}")


class Telling:
    """A bar with the running loss; `quiet` or not on a terminal: nothing."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._samples = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            _Count(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._progress.add_task("evaluating", total=None, loss="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def doing(self, what: str) -> None:
        """What goes on."""
        self._progress.update(self._task, description=what)

    def expecting(self, samples: int | None, done: int) -> None:
        """How many samples there are, where that is known, and how many of them an earlier run of the command sent."""
        self._progress.reset(self._task, total=samples, completed=done, description="evaluating")

    def added(self, samples: int, total: Mapping[str, Any]) -> None:
        """A batch was taken; `total` is what the service tells of the whole run."""
        self._progress.advance(self._task, samples)
        if total.get("samples", 0) < self._samples:  # answers overtake each other
            return
        self._samples = total.get("samples", 0)
        loss, interval = total.get("loss"), total.get("interval") or {}
        told = f"loss {loss:.6g}" if isinstance(loss, int | float) else f"loss {loss}"
        low, high = interval.get("low"), interval.get("high")
        if isinstance(low, int | float) and isinstance(high, int | float):  # at the run's own level
            told += f" ± {(high - low) / 2:.2g}"
        self._progress.update(self._task, loss=told)
