"""The figures at 16 connections as an SVG: one panel a case, bars from zero, legible on light and on dark pages."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape

from benchmarks.http.goals import Figure, Rate
from benchmarks.http.report import TITLES, Measured, resolved, three_digits, value
from benchmarks.http.servers import SUBJECT, own_servers
from benchmarks.peers.services import BARE, PEERS

CONNECTIONS = 16
LIMIT = "echo"
# A peer's bare service is a mark in the row of the documented one.
SERVERS = tuple(server.name for server in (*own_servers(""), *PEERS) if server.kind not in {"limit", "bare peer"})
# Each column's panels, by case; the last one sets calls of one loss beside calls of many.
COLUMNS = (("json-1x10", "json-32x1000", "json-mixed", "batch"), ("binary-1x10", "binary-32x1000", "binary-64x32000"))
# The naive services know no binary form: what they do with the same numbers in JSON stands in.
SAME_IN_JSON = {"binary-1x10": "json-1x10", "binary-32x1000": "json-32x1000"}

WIDTH, MARGIN, GAP = 880, 24, 36
COLUMN_WIDTH = (WIDTH - 2 * MARGIN - GAP) / 2
LABEL_WIDTH, VALUE_WIDTH, TWO_VALUES_WIDTH = 120, 60, 120
ROW, BAR, HEAD, FOOT, TOP = 19, 12, 26, 18, 66

# The card has a colour of its own, so that its text is legible even where page and system disagree on dark and light.
STYLE = """
  svg { font: 12px system-ui, -apple-system, "Segoe UI", "Liberation Sans", Helvetica, Arial, sans-serif; }
  .card { fill: #ffffff; stroke: #d0d7de; }
  text { fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .panel { font-size: 13px; font-weight: 600; }
  .dim { fill: #59636e; }
  .own { font-weight: 600; }
  .bar { fill: #aeb8c4; }
  .bar.own { fill: #0969da; }
  .bar.naive { fill: #d8b4a0; }
  .mark { fill: #59636e; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #3d444d; }
    text { fill: #f0f6fc; }
    .dim { fill: #9198a1; }
    .bar { fill: #59636e; }
    .bar.own { fill: #4493f8; }
    .bar.naive { fill: #8a6a58; }
    .mark { fill: #9198a1; }
  }"""


@dataclass(frozen=True)
class Bar:
    """A label, what it stands for, and a figure in a second; a peer's bare service's beside it."""

    label: str
    style: Literal["own", "naive", "peer"]
    figure: float
    bare: float | None = None

    @property
    def reach(self) -> float:
        return max(self.figure, self.bare or 0)

    @property
    def text(self) -> str:
        return three_digits(self.figure) + (f", bare {three_digits(self.bare)}" if self.bare else "")

    def scale(self, room: float) -> float:
        """Pixels for one in a second, if this bar with its text fills the room."""
        return (room - (TWO_VALUES_WIDTH if self.bare else VALUE_WIDTH)) / self.reach


@dataclass(frozen=True)
class Panel:
    title: str
    note: str
    bars: tuple[Bar, ...]

    @property
    def height(self) -> float:
        return HEAD + ROW * len(self.bars) + FOOT


def chart(measured: Measured) -> str:
    """A whole SVG document. What was not measured is left out."""
    columns = [[panel for name in names if (panel := _panel(measured, name)) is not None] for names in COLUMNS]
    height = TOP + max(sum(panel.height for panel in column) for column in columns) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}"'
        ' role="img" aria-labelledby="title">',
        f"<style>{STYLE}\n</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:g}" rx="8"/>',
        f'<text class="title" id="title" x="{MARGIN}" y="32">Losses with their gradients: requests a second</text>',
        f'<text class="dim" x="{MARGIN}" y="51">{CONNECTIONS} connections, longer is better; '
        "each panel has its own scale from zero; mark: the same framework, bare</text>",
    ]
    for place, column in enumerate(columns):
        left, top = MARGIN + place * (COLUMN_WIDTH + GAP), float(TOP)
        for panel in column:
            parts += _drawn(panel, left, top)
            top += panel.height
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(measured: Measured, name: str) -> Panel | None:
    if name == "batch":
        bars, title, note = tuple(_batch_bars(measured)), "Losses 1x10 a second, alone and 256 a call", ""
    else:
        bars, title = tuple(_server_bars(measured, name)), TITLES[name]
        limit = _figure(measured, name, LIMIT)
        note = f"bare echo of the same bytes: {three_digits(limit)}" if limit else ""
    return Panel(title, note, bars) if bars else None


def _server_bars(measured: Measured, case: str) -> Iterator[Bar]:
    if not any((case, CONNECTIONS, server) in measured for server in SERVERS):
        return
    for server in SERVERS:
        style: Literal["own", "naive", "peer"] = (
            "own" if server == SUBJECT else "naive" if "naive" in server else "peer"
        )
        figure = _figure(measured, case, server)
        if figure is not None:
            yield Bar(server, style, figure, _figure(measured, case, f"{server}{BARE}"))
        elif style == "naive" and case in SAME_IN_JSON:
            figure = _figure(measured, SAME_IN_JSON[case], server)
            if figure is not None:
                yield Bar(f"{server}, JSON", style, figure)


def _batch_bars(measured: Measured) -> Iterator[Bar]:
    if not any((case, CONNECTIONS, SUBJECT) in measured for case in ("json-batch", "binary-batch")):
        return
    for label, case in (("alone, JSON", "json-1x10"), ("256, JSON", "json-batch"), ("256, binary", "binary-batch")):
        figure = _figure(measured, case, SUBJECT, "losses/s")
        if figure is not None:
            yield Bar(label, "own", figure)


def _figure(measured: Measured, case: str, server: str, kind: Rate = "requests/s") -> float | None:
    found = resolved(measured, Figure(case, CONNECTIONS, server, kind))
    return value(measured, found) if found else None


def _drawn(panel: Panel, left: float, top: float) -> Iterator[str]:
    yield f'<text class="panel" x="{left:g}" y="{top + 14:g}">{escape(panel.title)}</text>'
    if panel.note:
        right = left + COLUMN_WIDTH
        yield f'<text class="dim" x="{right:g}" y="{top + 14:g}" text-anchor="end">{escape(panel.note)}</text>'
    begin = left + LABEL_WIDTH
    scale = min(bar.scale(COLUMN_WIDTH - LABEL_WIDTH) for bar in panel.bars)
    for place, bar in enumerate(panel.bars):
        y = top + HEAD + place * ROW
        length = max(bar.figure * scale, 1)
        own = "own" if bar.style == "own" else ""
        yield f'<text class="{own}" x="{begin - 8:g}" y="{y + 10:g}" text-anchor="end">{escape(bar.label)}</text>'
        yield f'<rect class="bar {bar.style}" x="{begin:g}" y="{y:g}" width="{length:.1f}" height="{BAR}" rx="2"/>'
        if bar.bare:
            yield f'<rect class="mark" x="{begin + bar.bare * scale:.1f}" y="{y - 1:g}" width="2" height="{BAR + 2}"/>'
        beyond = begin + max(bar.reach * scale, 1) + 6
        yield f'<text class="{own}" x="{beyond:.1f}" y="{y + 10:g}">{bar.text}</text>'
