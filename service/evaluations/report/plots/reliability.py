"""How often a model is right, by how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from service.evaluations.report.plots.canvas import ACCENT, MUTED, Texts, counted, drawn, ruled


def reliability(bins: Sequence[tuple[float, float, int, float, float]], *, title: str, about: str) -> str:
    """Above: accuracy by confidence, beside the diagonal. Below: how many predictions each bin has.

    A bin is (low, high, count, confidence, accuracy); empty ones are none of `bins`.
    """

    def draw(figure: Figure, texts: Texts) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
        above.plot([0, 1], [0, 1], color=MUTED, linewidth=1.2, linestyle="--", label=texts.mark("as sure as right"))
        lows = [low for low, *_ in bins]
        widths = [high - low for low, high, *_ in bins]
        above.bar(lows, [accuracy for *_, accuracy in bins], width=widths, align="edge",
                  facecolor=ACCENT, alpha=0.25, edgecolor="none")  # fmt: skip
        above.plot([confidence for *_, confidence, _ in bins], [accuracy for *_, accuracy in bins],
                   color=ACCENT, linewidth=1.6, marker="o", markersize=5)  # fmt: skip
        above.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
        above.set_xlim(0, 1)
        above.set_ylim(0, 1.02)
        above.set_ylabel("accuracy")
        percentages = FuncFormatter(lambda value, _: f"{100 * value:.0f} %")
        above.yaxis.set_major_formatter(percentages)
        above.yaxis.set_major_locator(MaxNLocator(5))
        ruled(above, "y")
        below.bar(lows, [count for _, _, count, _, _ in bins], width=widths, align="edge",
                  facecolor=ACCENT, alpha=0.85, edgecolor="none")  # fmt: skip
        below.set_ylabel("count")
        below.set_xlabel("confidence")
        below.xaxis.set_major_formatter(percentages)
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        below.yaxis.set_major_formatter(counted())
        ruled(below, "y")
        figure.align_ylabels([above, below])

    return drawn(draw, name="reliability", title=title, about=about, height=340)
