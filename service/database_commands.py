"""`gradwire database`: the tables that evaluations are stored in."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from service.evaluations.store.database import Database

app = typer.Typer(no_args_is_help=True, help="The database that evaluations are stored in (docs/deployment.md).")

Url = Annotated[
    str,
    typer.Option(
        "--url",
        help="The database, as GRADWIRE_DATABASE_URL names it; better given by that: a command's options can be seen.",
        envvar="GRADWIRE_DATABASE_URL",
        show_envvar=False,
    ),
]

UNHEARD = logging.NullHandler()


@app.command(epilog="Example: `GRADWIRE_DATABASE_URL=postgresql://gradwire@db/gradwire gradwire database upgrade`")
def upgrade(url: Url = "sqlite:") -> None:
    """Bring the tables to those of this version. A server does so itself when it opens its database."""
    with _told():
        before, now, shown = upgraded(url)
    print(f"{shown}: at {now}" + ("" if before == now else f", was {'empty' if before is None else f'at {before}'}"))


@app.command(epilog="Example: `gradwire database current`")
def current(url: Url = "sqlite:") -> None:
    """Tell which migration the tables are at, and the one of this version; exits with 1 where they differ."""
    from service.evaluations.store import migrate
    from service.evaluations.store.tables import REVISIONS

    with _told(), _opened(url) as database:
        found = migrate.current(database)
        print(f"{database.shown}: {'empty' if found is None else f'at {found}'}, this version is at {REVISIONS[-1]}")
    if found != REVISIONS[-1]:
        raise typer.Exit(1)


def upgraded(url: str) -> tuple[str | None, str, str]:
    """Bring a database's tables to those of this version: where they were, where they are, and the URL to show.

    Raises `StoreUnavailable`, `StoreUnusable`.
    """
    from service.evaluations.store import migrate
    from service.evaluations.store.tables import REVISIONS

    with _opened(url) as database:
        return migrate.upgrade(database), REVISIONS[-1], database.shown


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    from service.evaluations.store.database import Database

    # The command tells what is wrong itself; Python would print records that no handler takes beside it.
    logging.getLogger("gradwire.evaluations").addHandler(UNHEARD)
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _told() -> Iterator[None]:
    """What cannot be is told on standard error, and ends the command with 2."""
    from service.evaluations.refusals import StoreUnavailable, StoreUnusable

    try:
        yield
    except (StoreUnavailable, StoreUnusable) as error:
        print(f"gradwire: the database of evaluations: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
