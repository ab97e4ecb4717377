"""Bringing a database to the tables of this code: `migrations/versions`, run by Alembic."""

from __future__ import annotations

import sqlite3
import threading
import time

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from service.evaluations.refusals import StoreUnusable
from service.evaluations.store.database import BUSY_SECONDS, Database
from service.evaluations.store.tables import REVISIONS

LOCK = 0x67726164
"""PostgreSQL's advisory lock while tables change: of several processes one migrates, the others wait."""

_one_at_a_time = threading.Lock()  # Alembic's context is the process's


def current(database: Database) -> str | None:
    """The migration that a database is at; None for an empty one. Raises `StoreUnavailable`."""
    with database.read() as connection:
        return _current(connection)


def upgrade(database: Database) -> str | None:
    """Bring a database to the newest tables; answers where it was. Raises `StoreUnavailable`, `StoreUnusable`."""
    if database.kind == "sqlite":
        _prepare_file(database)
    before = _known(current(database))
    if before == REVISIONS[-1]:
        return before
    try:
        with _one_at_a_time, database.write() as connection:
            if database.kind == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            if _known(_current(connection)) != REVISIONS[-1]:  # nobody else did meanwhile
                _run(connection)
    except DBAPIError as error:
        raise StoreUnusable(f"{database.shown}: {str(error.orig).splitlines()[0]}") from None
    return before


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _known(revision: str | None) -> str | None:
    if revision is not None and revision not in REVISIONS:
        raise StoreUnusable(
            f"the database is at {revision}, which this version does not know (it knows {REVISIONS[-1]}): "
            "a newer Gradwire has migrated it"
        )
    return revision


def _run(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 # and Mako with it: needed for a migration alone
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "service.evaluations.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _prepare_file(database: Database) -> None:
    """Make the file one with a write-ahead log that can give back space; both last. Raises `StoreUnusable`."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        raw = None
        try:
            raw = database.engine.raw_connection()
            cursor = raw.cursor()
            cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")  # heeded while there is no table
            cursor.execute("PRAGMA journal_mode=WAL")
        except (sqlite3.Error, DBAPIError) as error:
            # SQLite waits for nobody here, whatever the busy timeout.
            if "locked" not in str(error) or time.monotonic() > until:
                raise StoreUnusable(f"{database.shown}: {getattr(error, 'orig', error)}") from None
            time.sleep(0.02)
        else:
            return
        finally:
            if raw is not None:
                raw.close()
