"""Figures of classes or groups, one a line, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from service.evaluations.report.plots.canvas import ACCENT, MUTED, SECOND, WIDE, WIDTH, Texts, drawn, plain, ruled
from service.evaluations.report.plots.limits import LINES, Line


def intervals(
    lines: Sequence[Line],
    *,
    name: str,
    title: str,
    about: str,
    unit: str,
    across: tuple[str, float] | None,
    wide: bool = False,
) -> str:
    """Up to `LINES` figures from the top down; `across` is a named value marked through all of them."""
    shown = lines[:LINES]

    def draw(figure: Figure, texts: Texts) -> None:
        axes = figure.add_subplot()
        heights = list(range(len(shown), 0, -1))
        if across is not None:
            axes.axvline(across[1], color=SECOND, linewidth=1.4, linestyle="--")
            axes.annotate(
                texts.mark(across[0]),
                (across[1], 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=9.5,
                color=SECOND,
            )
        for line, height in zip(shown, heights, strict=True):
            if line.low is not None and line.high is not None:
                axes.plot(
                    [line.low, line.high], [height, height], color=ACCENT, linewidth=2.4, alpha=0.55,
                    solid_capstyle="round",
                )  # fmt: skip
        axes.plot([line.value for line in shown], heights, "o", color=ACCENT, markersize=5.5)
        axes.set_ylim(0.4, len(shown) + 0.6)
        axes.set_yticks(heights, texts.marks(line.name for line in shown))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_color(MUTED)
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.06)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(plain())
        axes.set_xlabel(unit)
        ruled(axes, "x")
        axes.spines["bottom"].set_visible(True)

    return drawn(
        draw, name=name, title=title, about=about, width=WIDE if wide else WIDTH, height=70 + 20 * max(len(shown), 2)
    )
