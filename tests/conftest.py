"""The servers that tests share: one real, one in this process."""

from __future__ import annotations

import gc
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

# Here more computes side by side than there are processors. OpenMP's threads spin while they wait for each other, and
# take from the others what these need to end: a softmax of a few rows took 15 ms so, on 2 processors. It must be told
# before torch is loaded; servers that tests start inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hypothesis
import pytest

from service.settings import Settings
from tests.asgi import InProcess
from tests.serving import RunningServer, serving

# Found examples vary from run to run, but in CI: what failed there fails again. How long one takes is not asserted.
TIMELESS = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("varied", TIMELESS)
hypothesis.settings.register_profile("ci", TIMELESS, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "varied")

# Settings of the shell that runs the tests are none of theirs.
for variable in [name for name in os.environ if name.startswith("GRADWIRE_")]:
    del os.environ[variable]
# Nor are evaluations to be stored where their own are.
STATE = tempfile.TemporaryDirectory(prefix="gradwire-tests-")
os.environ["XDG_STATE_HOME"] = STATE.name

LONGEST = (
    "contract/test_footprint.py",
    "hostile/test_patience.py",
    "fuzz/test_mutated_bodies.py",
    "openapi/test_conformance.py",
    "vectors/test_cases.py",
    "contract/test_wires.py",
    "fuzz/test_expressions.py",
    "clients/test_generators.py",
    "e2e/test_timeouts.py",
    "e2e/test_tls.py",
    "http/test_tracing.py",
    "contract/test_engines.py",
    "operations/test_frame.py",
    "operations/test_optimizer_step.py",
    "http/test_batch.py",
    "contract/test_bundles.py",
)
"""Files that take long, of which one begun last would keep all other processes waiting for its end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, the rest as they come."""
    here = Path(__file__).parent
    places = {here / path: place for place, path in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """An application sets its whole process's logging up, which here later tests would see."""
    root = logging.getLogger()
    handlers, level = root.handlers.copy(), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def _no_full_collections() -> Iterator[None]:
    """Applications do not collect all garbage when they start, as they do in a process of their own.

    Here hundreds start in one process, and walking all that torch, the tests and their oracles hold takes a second.
    """
    gc.collect()
    gc.freeze()
    nothing = SimpleNamespace(collect=lambda: 0, freeze=lambda: None, unfreeze=lambda: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.http.app.gc", nothing)
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """`gradwire serve` as a process, which logs JSON."""
    with serving(GRADWIRE_LOG_FORMAT="json", GRADWIRE_LOG_LEVEL="debug") as running:
        yield running


@pytest.fixture(scope="session")
def client() -> Iterator[InProcess]:
    """The application in this process, with its defaults."""
    with InProcess() as made:
        yield made


@pytest.fixture(scope="session")
def small() -> Iterator[InProcess]:
    """The application in this process, with low limits: 2,000 bytes and 100 elements."""
    settings = Settings(device="cpu", access_log=False, log_level="error", max_body_bytes=2000, max_elements=100)
    with InProcess(settings) as made:
        yield made
