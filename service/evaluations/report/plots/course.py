"""The loss over batches, in the order of their ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from service.evaluations.report.plots.canvas import ACCENT, SECOND, WIDE, Texts, counted, drawn, plain, ruled


def course(
    pieces: Sequence[tuple[int, float]],
    overall: float | None,
    bounds: tuple[float, float] | None,
    *,
    title: str,
    about: str,
) -> str:
    """A step for each piece, which is (samples, loss), as wide as it has samples; not finite ones are gaps.

    `bounds` cut the axis of losses where a few samples would set it.
    """

    def draw(figure: Figure, texts: Texts) -> None:
        axes = figure.add_subplot()
        ends = np.concatenate([[0], np.cumsum([samples for samples, _ in pieces])])
        losses = np.asarray([loss for _, loss in pieces], dtype=float)
        losses[~np.isfinite(losses)] = np.nan
        axes.stairs(losses, ends, baseline=None, color=ACCENT, linewidth=1.4)
        if overall is not None:
            axes.axhline(overall, color=SECOND, linewidth=1.4, linestyle="--")
            axes.annotate(texts.mark("whole run"), (1, overall), xycoords=("axes fraction", "data"), xytext=(6, 0),
                          textcoords="offset points", ha="left", va="center", fontsize=9.5, color=SECOND)  # fmt: skip
        axes.set_xlim(0, max(ends[-1], 1))
        axes.margins(y=0.12)
        if bounds is not None:
            ends_of = [*bounds] if overall is None else [*bounds, overall]
            edge = 0.12 * (max(ends_of) - min(ends_of))
            axes.set_ylim(min(ends_of) - edge, max(ends_of) + edge)
        axes.set_xlabel("samples, by their batches' ids")
        axes.set_ylabel("loss")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(counted())
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(plain())
        ruled(axes, "y")

    return drawn(draw, name="course", title=title, about=about, width=WIDE, height=250)
