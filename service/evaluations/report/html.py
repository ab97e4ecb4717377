"""Pages: one self-contained HTML file, which needs no network, no script and no other file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from service.evaluations.report.outline import Page, Plot


def html(page: Page) -> str:
    """The page. Callers' texts are escaped; plots are the only markup that comes from elsewhere than the template."""
    return _template().render(page=page, drawn=_drawn)


def _drawn(plot: Plot) -> Markup:
    """A plot's `svg` element, in which `draw` has escaped all texts."""
    return Markup(plot.draw())  # noqa: S704 # made by service.evaluations.report.plots.canvas, texts escaped there


@cache
def _template() -> Template:
    folder = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    return environment.get_template("page.html")
