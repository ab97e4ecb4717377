"""The confusion matrix, of so few classes that its cells can be seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from service.evaluations.report.plots.canvas import ACCENT, INK, PAPER, Texts, drawn
from service.evaluations.report.plots.limits import NUMBERED


def confusion(names: Sequence[str], counts: Sequence[Sequence[int]], *, title: str, about: str) -> str:
    """Rows are true classes, columns predicted ones; a cell is as dark as its share of its row."""
    cells = np.asarray(counts, dtype=float)
    size = len(names)
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)

    def draw(figure: Figure, texts: Texts) -> None:
        axes = figure.add_subplot()
        faces = np.empty((size, size, 4))
        faces[..., :3] = to_rgb(ACCENT)
        faces[..., 3] = 0.03 + 0.97 * shares
        axes.pcolormesh(faces)
        for row, column in np.ndindex(size, size) if size <= NUMBERED else ():
            axes.text(column + 0.5, row + 0.5, short(int(cells[row, column])), ha="center", va="center",
                      fontsize=10 if size <= 8 else 8, color=PAPER if shares[row, column] > 0.55 else INK)  # fmt: skip
        axes.set_ylim(size, 0)
        axes.set_aspect("equal")
        middles = [place + 0.5 for place in range(size)]
        axes.set_xticks(middles, texts.marks(names), rotation=45 if size <= NUMBERED else 90, rotation_mode="anchor",
                        ha="right", va="center" if size > NUMBERED else "top")  # fmt: skip
        axes.set_yticks(middles, texts.marks(names))
        axes.tick_params(length=0, labelsize=9.5 if size <= NUMBERED else 7.5)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        for spine in axes.spines.values():
            spine.set_visible(False)

    return drawn(draw, name="confusion", title=title, about=about, height=430)


def short(number: int) -> str:
    """A count in at most four signs or so."""
    if number < 10_000:
        return str(number)
    return f"{number / 1000:.0f}k" if number < 1_000_000 else f"{number / 1e6:.1f}M"
