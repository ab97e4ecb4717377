"""Markdown that fits into a comment of a pull request: the figures, and the first rows of each table."""

from __future__ import annotations

import re
from collections.abc import Iterable

from service.evaluations.report.numbers import counted
from service.evaluations.report.outline import Column, Page, Section, Table

LONGEST = 120  # characters of a caller's text: a comment holds 65,536 in all


def markdown(page: Page) -> str:
    """The page in GitHub's Markdown, without its plots."""
    parts = [f"## {page.kind}: {given(page.title)}", ""]
    if page.against:
        parts += [f"against the baseline {given(page.against)}", ""]
    parts.append(f"**{page.headline.label}: {page.headline.value}**" + (
        f" ({page.headline.interval})" if page.headline.interval else ""
    ))  # fmt: skip
    parts += ["", page.headline.sentence, ""]
    parts += [f"> {warning}" for warning in page.warnings] + [""] * bool(page.warnings)
    if page.cards:
        columns = [Column(name) for name, _ in page.cards]
        parts += [*_table(columns, [[value for _, value in page.cards]]), ""]
    for section in page.sections:
        if section.in_brief and section.name != "figures":
            parts += _section(section)
    facts = [
        f"{fact.name if not fact.name.startswith('tag ') else given(fact.name)}: {given(fact.value)}"
        for fact in page.facts
    ]
    parts += ["<sub>", "", " · ".join(facts), "", "</sub>"]
    return "\n".join(parts) + "\n"


def _section(section: Section) -> Iterable[str]:
    """Folded up, so that the figures stay on one screen."""
    yield f"<details><summary>{section.title}</summary>"
    yield ""
    for table in section.tables:
        if table.title:
            yield f"**{table.title}**"
            yield ""
        yield from _table(table.columns, table.rows[: table.brief])
        yield ""
        yield from _rest(table)
    yield "</details>"
    yield ""


def _rest(table: Table) -> Iterable[str]:
    if len(table.rows) > table.brief:
        yield f"… and {counted(len(table.rows) - table.brief, 'more row', 'more rows')} in the full report."
        yield ""


def _table(columns: list[Column], rows: list[list[str]]) -> Iterable[str]:
    yield "| " + " | ".join(column.title for column in columns) + " |"
    yield "|" + "|".join(" ---: " if column.kind == "number" else " --- " for column in columns) + "|"
    for row in rows:
        cells = [given(cell) if column.kind == "given" else cell for cell, column in zip(row, columns, strict=True)]
        yield "| " + " | ".join(cells) + " |"


def given(text: str) -> str:
    """A caller's text as code, in which nothing is a link, a mention, markup or the end of a cell."""
    shown = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    shown = "".join(letter if letter.isprintable() else " " for letter in shown).strip() or " "
    shown = shown.replace("|", "\\|")
    fence = "`" * (1 + max((len(ticks) for ticks in re.findall("`+", shown)), default=0))
    space = " " if shown[0] == "`" or shown[-1] == "`" else ""
    return f"{fence}{space}{shown}{space}{fence}"
