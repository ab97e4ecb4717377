"""Reports in every format. What draws and lays out pages is imported when the first one is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

Format = Literal["html", "csv", "markdown"]

MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8; header=present",
    "markdown": "text/markdown; charset=utf-8; variant=GFM",
}


def write(report: Mapping[str, Any], form: Format) -> bytes:
    """The report of a run, `{"evaluation", "results"}`, or of two, `{"first", "second", "comparison"}`, in UTF-8.

    Runs as JSON shows them; what is not finite as a float or as the string that JSON has for it. Equal reports
    give equal bytes. It takes up to some seconds of a thread: matplotlib draws.
    """
    if form == "csv":
        from service.evaluations.report.table import table

        return _encoded(table(report))
    if "comparison" in report:
        from service.evaluations.report.comparison import comparison_page as page_of
    else:
        from service.evaluations.report.evaluation import evaluation_page as page_of
    page = page_of(report)
    if form == "markdown":
        from service.evaluations.report.markdown import markdown

        return _encoded(markdown(page))
    from service.evaluations.report.html import html

    return _encoded(html(page))


def _encoded(text: str) -> bytes:
    """UTF-8; half of a surrogate pair, which it cannot hold, as a question mark."""
    return text.encode(errors="replace")
