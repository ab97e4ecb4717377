"""One database: its URL, its connections, its transactions, and what its errors mean."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.evaluations.refusals import StoreUnavailable, StoreUnusable

log = logging.getLogger("gradwire.evaluations")

STATE = "sqlite:"
"""The URL of the file in the user's state folder."""
BUSY_SECONDS = 15.0
"""How long another process may hold SQLite's one writer, or a connection to PostgreSQL may take."""
CONNECTIONS = 8
"""The most that one process holds: one writes, one folds, four read."""

PASSING_IN_SQLITE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
}
"""Primary result codes of a file that another has, or that its disk does not give now."""
PASSING_IN_POSTGRESQL = {"08", "40", "53", "55", "57", "58"}
"""Classes of SQLSTATE: connections, transactions rolled back for others, resources, locks, operators, the system."""

FREED_PAGES = 2000
"""Pages of SQLite's file that are freed in one transaction."""


def located(url: str) -> URL:
    """A setting's URL as SQLAlchemy knows it. Raises `StoreUnusable`."""
    if url == STATE:
        home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        return URL.create("sqlite", database=str(Path(home).expanduser() / "gradwire" / "evaluations.db"))
    try:
        made = make_url("postgresql" + url.removeprefix("postgres") if url.startswith("postgres://") else url)
    except ArgumentError:
        raise StoreUnusable("the database's URL is none, as sqlite:////path or postgresql://host/name is") from None
    backend = made.get_backend_name()
    if backend == "sqlite":
        if not made.database or made.database == ":memory:" or made.query:
            raise StoreUnusable(
                "an SQLite URL names a file, as sqlite:////var/lib/gradwire/evaluations.db, and no more"
            )
        return made.set(drivername="sqlite")
    if backend == "postgresql":
        return made.set(drivername="postgresql+psycopg")
    raise StoreUnusable(f"databases are SQLite and PostgreSQL, not {backend}")


class Database:
    """Connections to one database, lent for one transaction each. Any thread may use it."""

    def __init__(self, url: str, *, synchronous: str = "FULL") -> None:
        where = located(url)
        self.kind = where.get_backend_name()
        self.shown = where.render_as_string(hide_password=True)
        self._synchronous = synchronous
        self.engine = self._sqlite(where) if self.kind == "sqlite" else self._postgresql(where)

    def _sqlite(self, url: URL) -> Engine:
        try:
            Path(str(url.database)).absolute().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnusable(f"{url.database}: {error.strerror}") from None
        engine = create_engine(
            url,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=BUSY_SECONDS,
            connect_args={"timeout": BUSY_SECONDS},
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # sqlite3 begins no transactions of its own: `begin` does
            for pragma in (f"synchronous={self._synchronous}", "foreign_keys=ON", "temp_store=MEMORY"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get("writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def _postgresql(self, url: URL) -> Engine:
        try:
            return create_engine(
                url,
                pool_size=CONNECTIONS,
                max_overflow=0,
                pool_timeout=BUSY_SECONDS,
                pool_pre_ping=True,  # a server that was started again is met with new connections
                isolation_level="READ COMMITTED",
                connect_args={"connect_timeout": int(BUSY_SECONDS), "application_name": "gradwire"},
            )
        except ImportError:
            raise StoreUnusable("PostgreSQL needs its driver: install gradwire[postgresql]") from None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; on SQLite it sees one state. Raises `StoreUnavailable`."""
        with told_apart(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes; durable once the block ends without an error. Raises `StoreUnavailable`."""
        with told_apart(), self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def give_back_space(self) -> bool:
        """Shorten SQLite's file by some of its free pages; False when none is left. PostgreSQL does so by itself."""
        if self.kind != "sqlite":
            return False
        with told_apart():
            raw = self.engine.raw_connection()
            try:
                cursor = raw.cursor()
                cursor.execute(f"PRAGMA incremental_vacuum({FREED_PAGES})")
                cursor.fetchall()  # each step frees a page
                cursor.execute("PRAGMA freelist_count")
                (left,) = cursor.fetchall()[0]
                if not left:
                    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    cursor.fetchall()
            finally:
                raw.close()
        return bool(left)

    def close(self) -> None:
        """Close all connections; those in use when they come back."""
        self.engine.dispose()


@contextmanager
def told_apart() -> Iterator[None]:
    """Make of a database's errors what its user can do about them: those that pass are `StoreUnavailable`."""
    try:
        yield
    except PoolTimeout as error:
        raise _unavailable(error) from error
    except DBAPIError as error:
        if error.connection_invalidated or (isinstance(error, OperationalError) and _passes(error.orig)):
            raise _unavailable(error) from error
        raise


def _passes(cause: BaseException | None) -> bool:
    """Whether an operational error is of the database's state and not of what it was asked."""
    if isinstance(cause, sqlite3.Error):
        code: int | None = getattr(cause, "sqlite_errorcode", None)  # none where the error is the module's own
        return code is not None and code & 0xFF in PASSING_IN_SQLITE
    state: str | None = getattr(cause, "sqlstate", None)  # none where there is no connection
    return state is None or state[:2] in PASSING_IN_POSTGRESQL


def _unavailable(error: Exception) -> StoreUnavailable:
    cause = str(getattr(error, "orig", None) or error).strip()
    log.warning("the database of evaluations: %s", cause)
    return StoreUnavailable(cause)
