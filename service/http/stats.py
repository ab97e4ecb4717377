"""`GET /v1/stats`: how the service stands, for people and scripts without a Prometheus."""

from __future__ import annotations

import time
from typing import Final

from pydantic import BaseModel, Field
from starlette.datastructures import State

from service.http.metrics.metrics import RATES, Whole
from service.http.metrics.quantiles import quantile
from service.http.metrics.snapshot import SEPARATOR, Snapshot
from service.http.reference import Limits, limits
from service.http.statistics import STEPS

QUANTILES: Final = (0.5, 0.9, 0.99)


class Distribution(BaseModel):
    """How values were spread: estimated from a histogram, so that quantiles are as fine as its buckets."""

    count: int = Field(description="How many there were.")
    mean: float | None = Field(description="Their mean; null where there were none.")
    p50: float | None = Field(description="Half of them were at most this.")
    p90: float | None = Field(description="Nine tenths were.")
    p99: float | None = Field(description="All but a hundredth were.")


class Outcomes(BaseModel):
    """What came of what was asked for."""

    answered: int = Field(description="Computed and answered.")
    failed: int = Field(description="Refused or failed, where the loss was known.")


class Rates(BaseModel):
    """What came in a second, over the last minute."""

    requests: float = Field(description="Requests of any kind.")
    losses: float = Field(description="Losses, alone or in batch calls.")
    received_bytes: float = Field(description="Bytes of bodies received.")
    sent_bytes: float = Field(description="Bytes of bodies sent.")


class Queue(BaseModel):
    """What is under way now."""

    in_flight_requests: int = Field(description="Requests that are being read, computed or answered.")
    in_flight_bytes: int = Field(description="Bytes reserved for their bodies and tensors.")
    waiting_requests: int = Field(description="Requests and bundles that wait for the engine, or are being computed.")
    waiting_elements: int = Field(description="Their elements.")
    elements_per_second: float = Field(description="What the engine computes, measured.")


class Batches(BaseModel):
    """What was computed together."""

    requests: Distribution = Field(description="Requests and bundles of a batch.")
    elements: Distribution = Field(description="Elements of a batch.")
    seconds: Distribution = Field(description="Computing a batch.")


class Mishaps(BaseModel):
    """What did not go by the book, since the start."""

    dropped: dict[str, int] = Field(description="Requests dropped before they were computed, by reason.")
    refused: dict[str, int] = Field(description="Requests refused before they were served, as `who/why`.")
    worker_restarts: int = Field(description="Compute workers that were given up and started anew.")
    retries: int = Field(description="Requests computed again, alone, because their batch had failed.")
    oom_splits: int = Field(description="Batches cut in two because they did not fit into memory.")
    log_lines_dropped: int = Field(description="Log lines that nobody took.")


class ProcessStats(BaseModel):
    """One server process."""

    uptime_seconds: float | None = Field(description="Since it started; null where the system does not tell.")
    resident_bytes: int = Field(description="Its resident memory.")
    ready: bool = Field(description="Whether it takes requests, and its last probe computed right.")
    requests: int = Field(description="Requests answered.")
    waiting_requests: int = Field(description="Requests and bundles that wait for its engine, or are being computed.")
    in_flight_requests: int = Field(description="Requests that are being read, computed or answered.")


class Stats(BaseModel):
    """How the service stands: over all its processes, ended ones too, and for each living one."""

    version: str = Field(description="Gradwire's version.")
    ready: bool = Field(description="Whether every process is ready.")
    uptime_seconds: float | None = Field(description="Since the oldest process started.")
    requests: int = Field(description="Requests answered since the start.")
    by_status: dict[str, int] = Field(description="Of them, by status code; 499: the caller left before the answer.")
    by_route: dict[str, int] = Field(description="Of them, by route template.")
    by_loss: dict[str, Outcomes] = Field(description="Losses asked for, alone or in batch calls.")
    received_bytes: int = Field(description="Bytes of compute requests' bodies.")
    sent_bytes: int = Field(description="Bytes of answers' bodies.")
    last_minute: Rates = Field(description="What came in a second.")
    seconds: dict[str, Distribution] = Field(
        description="How long things took: whole requests, and the steps decode, queue, compute and encode of losses."
    )
    batches: Batches = Field(description="Batches, and how many requests and elements they held.")
    now: Queue = Field(description="What is under way.")
    mishaps: Mishaps = Field(description="What did not go by the book.")
    limits: Limits = Field(description="The limits in force, as `GET /v1/limits` tells them.")
    processes: list[ProcessStats] = Field(description="Each living process; the one that answers is the first.")


def stats(whole: Whole, state: State) -> Stats:
    """The figures of a service."""
    over_all = whole.over_all
    outcomes: dict[str, Outcomes] = {}
    for key, number in sorted(over_all.counters.get("gradwire_losses_total", {}).items()):
        loss, outcome = key.split(SEPARATOR)
        setattr(outcomes.setdefault(loss, Outcomes(answered=0, failed=0)), outcome, int(number))
    refused = over_all.counters.get("gradwire_refused_total", {})
    return Stats(
        version=next(iter(over_all.gauges["gradwire_build_info"])).split(SEPARATOR)[0],
        ready=bool(over_all.gauged("gradwire_ready")),
        uptime_seconds=_uptime(over_all),
        requests=int(over_all.counted("gradwire_requests_total")),
        by_status=_by(over_all, 2),
        by_route=_by(over_all, 0),
        by_loss=outcomes,
        received_bytes=int(over_all.counted("gradwire_received_bytes_total")),
        sent_bytes=int(over_all.counted("gradwire_sent_bytes_total")),
        last_minute=Rates(**{name: over_all.gauged(f"rate.{name}") for name in RATES}),
        seconds={
            "request": _spread(over_all, "gradwire_request_duration_seconds"),
            **{step: _spread(over_all, "gradwire_step_duration_seconds", step) for step in STEPS},
        },
        batches=Batches(
            requests=_spread(over_all, "gradwire_batch_requests", whole=True),
            elements=_spread(over_all, "gradwire_batch_elements", whole=True),
            seconds=_spread(over_all, "gradwire_batch_duration_seconds"),
        ),
        now=Queue(
            in_flight_requests=int(over_all.gauged("gradwire_in_flight_requests")),
            in_flight_bytes=int(over_all.gauged("gradwire_in_flight_bytes")),
            waiting_requests=int(over_all.gauged("gradwire_queue_requests")),
            waiting_elements=int(over_all.gauged("gradwire_queue_elements")),
            elements_per_second=over_all.gauged("gradwire_drain_elements_per_second"),
        ),
        mishaps=Mishaps(
            dropped={name: int(number) for name, number in over_all.counters.get("gradwire_dropped_total", {}).items()},
            refused={key.replace(SEPARATOR, "/"): int(number) for key, number in refused.items()},
            worker_restarts=int(over_all.counted("gradwire_worker_restarts_total")),
            retries=int(over_all.counted("gradwire_retries_total")),
            oom_splits=int(over_all.counted("gradwire_oom_splits_total")),
            log_lines_dropped=int(over_all.counted("gradwire_log_lines_dropped_total")),
        ),
        limits=limits(state.settings),
        processes=[_process(one) for one in whole.alive],
    )


def _process(snapshot: Snapshot) -> ProcessStats:
    return ProcessStats(
        uptime_seconds=_uptime(snapshot),
        resident_bytes=int(snapshot.gauged("process_resident_memory_bytes")),
        ready=bool(snapshot.gauged("gradwire_ready")),
        requests=int(snapshot.counted("gradwire_requests_total")),
        waiting_requests=int(snapshot.gauged("gradwire_queue_requests")),
        in_flight_requests=int(snapshot.gauged("gradwire_in_flight_requests")),
    )


def _uptime(snapshot: Snapshot) -> float | None:
    started = snapshot.gauged("process_start_time_seconds")
    return max(time.time() - started, 0.0) if started else None


def _by(snapshot: Snapshot, label: int) -> dict[str, int]:
    """Requests by one of their labels."""
    found: dict[str, int] = {}
    for key, number in snapshot.counters.get("gradwire_requests_total", {}).items():
        value = key.split(SEPARATOR)[label]
        found[value] = found.get(value, 0) + int(number)
    return dict(sorted(found.items()))


def _spread(snapshot: Snapshot, family: str, first: str | None = None, *, whole: bool = False) -> Distribution:
    """A histogram's spread, over all its series or those whose first label has that value."""
    series = snapshot.histograms.get(family, {})
    chosen = [told for key, told in series.items() if first is None or key.split(SEPARATOR)[0] == first]
    if not chosen:
        return Distribution(count=0, mean=None, p50=None, p90=None, p99=None)
    *counts, total = [sum(column) for column in zip(*chosen, strict=True)]
    count = int(sum(counts))
    p50, p90, p99 = [quantile(share, snapshot.bounds[family], counts, whole=whole) for share in QUANTILES]
    return Distribution(count=count, mean=total / count if count else None, p50=p50, p90=p90, p99=p99)
