"""The distribution of samples' losses."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from service.evaluations.report.numbers import figure as written
from service.evaluations.report.plots.canvas import ACCENT, INK, SECOND, Texts, drawn, ruled


def histogram(
    edges: Sequence[float], counts: Sequence[int], lines: Sequence[tuple[str, float]], *, title: str, about: str
) -> str:
    """Bars between `edges`, one more of these than `counts`; `lines` are named values marked across.

    A last bar much wider than the others holds the tail: it is drawn as wide as they are, and hatched.
    """

    def draw(figure: Figure, texts: Texts) -> None:
        axes = figure.add_subplot()
        ends = list(edges)
        tail = len(counts) > 2 and ends[-1] - ends[-2] > 1.5 * (ends[-2] - ends[-3])
        if tail:
            ends[-1] = ends[-2] + (ends[-2] - ends[-3])
        bars = axes.bar(
            ends[:-1], counts, width=[high - low for low, high in zip(ends, ends[1:], strict=False)], align="edge"
        )
        for bar in bars:
            bar.set(facecolor=ACCENT, edgecolor="none", alpha=0.85)
        if tail:
            bars[-1].set(facecolor="none", edgecolor=ACCENT, hatch="////", linewidth=0.8)
        axes.set_xlim(ends[0], ends[-1])
        axes.set_ylim(0, max([*counts, 1]) * 1.18)
        for place, (name, value) in enumerate(lines):
            if not ends[0] <= value <= ends[-1]:
                continue
            axes.axvline(value, color=(INK, SECOND)[place % 2], linewidth=1.4, linestyle=("-", "--")[place % 2])
            right = value > (ends[0] + ends[-1]) / 2
            axes.annotate(
                texts.mark(name),
                (value, 1 - 0.075 * place),
                xycoords=("data", "axes fraction"),
                xytext=(-5 if right else 5, -4),
                textcoords="offset points",
                ha="right" if right else "left",
                va="top",
                fontsize=9.5,
                color=(INK, SECOND)[place % 2],
            )
        axes.set_xlabel(
            "a sample's loss" + (f" (hatched: {written(edges[-2])} to {written(edges[-1])})" if tail else "")
        )
        axes.set_ylabel("samples")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, 3)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        ruled(axes, "y")

    return drawn(draw, name="histogram", title=title, about=about)
