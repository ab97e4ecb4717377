"""Databases are brought to the tables of the code, once, and never from a newer one's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from service.evaluations.refusals import StoreUnavailable, StoreUnusable
from service.evaluations.store import database as databases
from service.evaluations.store import migrate
from service.evaluations.store.database import Database, located
from service.evaluations.store.tables import REVISIONS, metadata
from tests.postgresql import Cluster


def test_the_code_knows_all_migrations_in_their_order() -> None:
    config = Config()
    config.set_main_option("script_location", "service.evaluations.store:migrations")
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == REVISIONS


def test_migrations_make_the_tables_of_the_code(url: str) -> None:
    database = Database(url)
    assert migrate.current(database) is None
    assert migrate.upgrade(database) is None
    assert migrate.current(database) == migrate.upgrade(database) == REVISIONS[-1]
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_a_database_newer_than_the_code_is_refused_and_left_as_it_is(url: str) -> None:
    database = Database(url)
    migrate.upgrade(database)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreUnusable, match=f"at 9999, .* knows {REVISIONS[-1]}"):
        migrate.upgrade(database)
    assert migrate.current(database) == "9999"
    database.close()


def test_of_many_that_migrate_at_once_one_does_and_none_fails(url: str) -> None:
    code = (
        "from service.evaluations.store import database, migrate;"
        f"opened = database.Database({url!r}); migrate.upgrade(opened); opened.close()"
    )
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    failed: list[Exception] = []

    def upgrade() -> None:
        database = Database(url)
        try:
            migrate.upgrade(database)
        except Exception as error:  # noqa: BLE001 # told below
            failed.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=upgrade) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        _, told = process.communicate()
        assert process.returncode == 0, told
    assert failed == []
    database = Database(url)
    assert migrate.current(database) == REVISIONS[-1]
    database.close()


def test_a_file_has_a_log_is_durable_and_gives_back_space(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a' / 'b' / 'evaluations.db'}")
    migrate.upgrade(database)
    with database.read() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum", "busy_timeout")
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in pragmas}
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "auto_vacuum": 2,
        "busy_timeout": databases.BUSY_SECONDS * 1000,
    }
    database.close()


def test_the_default_is_a_file_in_the_users_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert located("sqlite:").database == str(tmp_path / "gradwire" / "evaluations.db")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert located("sqlite:").database == "/home/someone/.local/state/gradwire/evaluations.db"


def test_postgresql_is_reached_by_either_name_of_its_scheme() -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        assert str(located(f"{scheme}://a@h:1/d")) == "postgresql+psycopg://a@h:1/d"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nothing", "URL"),
        ("mysql://a:secret@b/c", "not mysql"),
        ("sqlite://", "names a file"),
        ("sqlite:///:memory:", "names a file"),
        ("sqlite:////tmp/a?mode=ro", "names a file"),
        ("sqlite:////dev/null/a/b.db", "Not a directory"),
    ],
)
def test_a_url_that_is_none_of_ours_is_refused_without_its_password(url: str, told: str) -> None:
    with pytest.raises(StoreUnusable, match=told) as refused:
        Database(url)
    assert "secret" not in str(refused.value)


def test_a_file_that_is_no_database_is_unusable(tmp_path: Path) -> None:
    file = tmp_path / "evaluations.db"
    file.write_bytes(b"no database" * 1000)
    database = Database(f"sqlite:///{file}")
    with pytest.raises(StoreUnusable, match="not a database"):
        migrate.upgrade(database)
    database.close()


def test_a_server_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"postgresql://a@/b?host={tmp_path}")
    with pytest.raises(StoreUnavailable):
        migrate.upgrade(database)
    database.close()


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreUnusable, match=r"gradwire\[postgresql\]"):
        Database("postgresql://a@b/c")


def test_a_role_that_may_make_no_tables_is_told(postgresql: Cluster) -> None:
    url = postgresql.new_database()
    owner = Database(url)
    with owner.write() as connection:
        connection.execute(text("CREATE ROLE guest LOGIN"))
    owner.close()
    guest = Database(url.replace("postgres@", "guest@"))
    with pytest.raises(StoreUnusable, match=r"permission denied|no schema"):
        migrate.upgrade(guest)
    guest.close()


def test_what_serves_losses_alone_loads_no_database() -> None:
    code = (
        "import sys, service.http.app, service.cli, service.serving.run;"
        "from service.evaluations import refusals, run, samples;"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'sqlalchemy', 'alembic', 'psycopg', 'mako'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "[]\n"
