"""What the parts of the service have counted, read at each scrape as it stands."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import State

from service.engine import Engine
from service.http import access
from service.http.edge import refusals
from service.http.metrics.snapshot import Snapshot
from service.line_writer import STDERR

ADMISSION: Final = "admission"
PROTOCOL: Final = "protocol"
ACCESS: Final = "access"


def told_by_engine(engine: Engine, snapshot: Snapshot) -> None:
    """Its queue, its batches, and its mishaps."""
    load, tally = engine.load, engine.tally
    snapshot.gauge("gradwire_queue_requests", load.requests)
    snapshot.gauge("gradwire_queue_elements", load.elements)
    snapshot.gauge("gradwire_drain_elements_per_second", load.elements_per_second)
    snapshot.histogram("gradwire_batch_requests", tally.batch_requests)
    snapshot.histogram("gradwire_batch_elements", tally.batch_elements)
    snapshot.histogram("gradwire_batch_duration_seconds", tally.batch_seconds)
    for reason, number in tally.dropped.items():
        snapshot.count("gradwire_dropped_total", number, reason)
    snapshot.count("gradwire_worker_restarts_total", tally.restarts)
    snapshot.count("gradwire_retries_total", tally.retries)
    snapshot.count("gradwire_oom_splits_total", tally.oom_splits)


def told_by_edge(state: State, snapshot: Snapshot) -> None:
    """What is in flight, what was refused before it was served, what the logs lost, and whether it is ready."""
    admission = state.admission
    snapshot.gauge("gradwire_in_flight_requests", admission.requests)
    snapshot.gauge("gradwire_in_flight_bytes", admission.bytes)
    snapshot.gauge("gradwire_in_flight_bytes_limit", admission.max_bytes)
    for reason, number in admission.refused.items():
        snapshot.count("gradwire_refused_total", number, ADMISSION, reason)
    for reason, number in access.refused.items():
        snapshot.count("gradwire_refused_total", number, ACCESS, reason)
    for reason, number in refusals.refused.items():
        snapshot.count("gradwire_refused_total", number, PROTOCOL, reason)
    snapshot.count("gradwire_log_lines_dropped_total", STDERR.dropped)
    ready = state.readiness.right and not state.draining
    snapshot.gauge("gradwire_ready", int(ready))
