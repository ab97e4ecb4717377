"""Drawing: matplotlib's figures made into SVG that takes its colours and fonts from the page.

matplotlib knows neither themes nor fonts that a reader has, so it draws with marks: colours that stand for the page's
CSS variables, and Braille patterns that stand for texts. Both are replaced in what it wrote. Thus a caller's text is
never measured, parsed as mathematics or looked up in a font, and equal data give equal bytes.
"""

from __future__ import annotations

import html
import io
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, ScalarFormatter

INK, MUTED, RULE, ACCENT, SECOND, PAPER = (f"#0102{n:02x}" for n in range(10, 16))
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    ACCENT: "var(--accent)",
    SECOND: "var(--second)",
    PAPER: "var(--paper)",
}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gradwire",
    "path.simplify": False,
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "hatch.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "legend.handlelength": 1.6,
    "legend.labelcolor": INK,
}
POINTS = 72  # an inch has as many
WIDTH = 460  # points of a plot that stands beside its table
WIDE = 1.25 * WIDTH  # of one that is alone on a line: on a narrow screen it is as small as can be read
LONGEST = 22  # characters of a name that a plot shows

# matplotlib's settings and fonts are the process's: one drawing at a time.
_drawing = threading.Lock()


@dataclass
class Texts:
    """The texts of one plot, and the marks that stand for them."""

    held: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """A mark of about the text's width."""
        shown = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
        number = len(self.held)
        self.held.append(shown)
        # Two digits to the base 256, and blanks: a pattern is as wide as about 1.3 letters.
        return chr(0x2800 + number // 256) + chr(0x2800 + number % 256) + "\u2800" * max(0, round(len(shown) / 1.3) - 2)

    def marks(self, texts: Iterable[str]) -> list[str]:
        """Marks of several."""
        return [self.mark(text) for text in texts]

    def put_back(self, svg: str) -> str:
        """The texts in place of their marks."""

        def text(found: re.Match[str]) -> str:
            high, low = (ord(letter) - 0x2800 for letter in found[0][:2])
            return html.escape(printable(self.held[256 * high + low]))

        return re.sub("[\u2800-\u28ff]{2,}", text, svg)


def printable(text: str) -> str:
    """The text, with a sign in place of what cannot be shown, Braille patterns among it in plots."""
    return "".join(
        letter if letter.isprintable() and not "\u2800" <= letter <= "\u28ff" else "\ufffd" for letter in text
    )


def drawn(
    draw: Callable[[Figure, Texts], None],
    *,
    name: str,
    title: str,
    about: str,
    width: float = WIDTH,
    height: float = 270,
) -> str:
    """The `svg` element that `draw` makes, `width` by `height` points; `title` and `about` are read out."""
    texts = Texts()
    with _drawing, mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(width / POINTS, height / POINTS), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure, texts)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _element(written.getvalue(), texts, name, title, about, width)


def _element(document: str, texts: Texts, name: str, title: str, about: str, width: float) -> str:
    """The document's `svg` element, fit for a page that holds others."""
    body = document[document.index(">", document.index("<svg")) + 1 : document.rindex("</svg>")]
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<title>.*?</title>", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', body))
    body = re.sub(r' id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, variable)
    body = re.sub(r"\n\s*", "\n", texts.put_back(body)).strip()
    found = re.search(r'viewBox="([^"]*)"', document)
    box = found[1] if found else ""
    return (
        f'<svg viewBox="{box}" width="{1.22 * width:.0f}" role="img" '
        f'aria-labelledby="{name}-title {name}-about">'
        f'<title id="{name}-title">{html.escape(title)}</title><desc id="{name}-about">{html.escape(about)}</desc>'
        f"\n{body}\n</svg>"
    )


def plain() -> ScalarFormatter:
    """Ticks in as many decimals as they need, without a common part taken out."""
    return ScalarFormatter(useOffset=False, useMathText=False)


def counted() -> FuncFormatter:
    """Ticks of counts, by thousands."""
    return FuncFormatter(lambda value, _: f"{value:,.0f}")


def ruled(axes: Axes, which: str) -> None:
    """Fine rules across one axis, without ticks there."""
    axes.grid(visible=True, axis="y" if which == "y" else "x")
    axes.tick_params(axis="y" if which == "y" else "x", length=0)
    axes.spines["left" if which == "y" else "bottom"].set_visible(False)
