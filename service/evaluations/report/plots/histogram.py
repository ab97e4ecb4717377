"""The distribution of samples' losses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from service.evaluations.report.numbers import figure as written
from service.evaluations.report.plots.canvas import ACCENT, INK, SECOND, Texts, counted, drawn, plain, ruled


def histogram(
    edges: Sequence[float], counts: Sequence[int], lines: Sequence[tuple[str, float]], *, title: str, about: str
) -> str:
    """Bars between `edges`, one more of these than `counts`; `lines` are named values marked across.

    A last bar much wider than the others holds the tail: it is drawn as wide as they are, and hatched.
    """

    def draw(figure: Figure, texts: Texts) -> None:
        axes = figure.add_subplot()
        ends = list(edges)
        if ends[0] == ends[-1]:  # all losses are equal
            ends = [ends[0] - 0.5 * (abs(ends[0]) or 1), ends[0] + 0.5 * (abs(ends[0]) or 1)]
        usual = median(high - low for low, high in pairwise(ends[:-1])) if len(counts) > 2 else 0.0
        tail = len(counts) > 2 and ends[-1] - ends[-2] > 2.5 * usual
        if tail:
            ends[-1] = ends[-2] + usual
        bars = axes.bar(ends[:-1], counts, width=[high - low for low, high in pairwise(ends)], align="edge")
        for bar in bars:
            bar.set(facecolor=ACCENT, edgecolor="none", alpha=0.85)
        if tail:
            bars[-1].set(facecolor="none", edgecolor=ACCENT, hatch="////", linewidth=0.8)
        axes.set_ylim(0, max([*counts, 1]) * 1.18)
        for place, (name, value) in enumerate(lines):
            label = texts.mark(f"{name} {written(value)}")
            colour, dashes = (INK, SECOND)[place % 2], ("-", "--")[place % 2]
            axes.axvline(value, color=colour, linewidth=1.4, linestyle=dashes, label=label)
        axes.set_xlim(ends[0], ends[-1])
        if lines:
            axes.legend(loc="upper right")
        axes.set_xlabel(
            "a sample's loss" + (f" (hatched: {written(edges[-2])} to {written(edges[-1])})" if tail else "")
        )
        axes.set_ylabel("samples")
        axes.xaxis.set_major_formatter(plain())
        axes.yaxis.set_major_formatter(counted())
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        ruled(axes, "y")

    return drawn(draw, name="histogram", title=title, about=about)
