"""Stores on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.evaluations.store.opened import Opened
from tests.postgresql import Cluster, cluster


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """One server for all tests of this process."""
    with cluster() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "postgresql":
        made: Cluster = request.getfixturevalue("postgresql")
        return made.new_database()
    return f"sqlite:///{tmp_path / 'evaluations.db'}"


@pytest.fixture
def opening(url: str) -> Iterator[Callable[..., Opened]]:
    """Opens stores on one database, as several processes do; closes them in the end."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Opened(url, **settings))


@pytest.fixture
def store(opening: Callable[..., Opened]) -> Opened:
    """One store, open."""
    return opening()
