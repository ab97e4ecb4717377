"""What each loss and each operation has been asked for so far, as Triton's statistics extension tells it.

Counters, sums and histograms alone, in a fixed number: what one request costs is a few additions.
"""

from __future__ import annotations

import time
from typing import Any, Final

from pydantic import BaseModel, Field

from schemas.losses import LOSSES
from schemas.operations import OPERATIONS
from service.engine.base import Outcome
from service.engine.tally import SECONDS, Histogram
from service.http.metrics.snapshot import Snapshot

STEPS: Final = ("decode", "queue", "compute", "encode")

# What a snapshot holds for these statistics beside the metrics.
ANSWERED_SECONDS: Final = "answered_seconds"
FAILED_SECONDS: Final = "failed_seconds"
BATCHES: Final = "batches"
LAST: Final = "last"


class Duration(BaseModel):
    """How often something happened, and how long all of it took."""

    count: int = Field(description="How often.")
    ns: int = Field(description="Nanoseconds in all.")


class InferenceStatistics(BaseModel):
    """The requests for a loss, and the steps that answering them took."""

    success: Duration = Field(description="Answered, by any path: from the whole body to the whole answer.")
    fail: Duration = Field(description="Refused, or failed, where the loss was known.")
    queue: Duration = Field(description="Waiting to be computed.")
    compute_input: Duration = Field(description="Reading and checking requests.")
    compute_infer: Duration = Field(description="Computing; a request counts the whole batch that it was in.")
    compute_output: Duration = Field(description="Writing answers.")
    cache_hit: Duration = Field(description="Nothing is cached: 0.")


class ModelStatistics(BaseModel):
    """What a loss has been asked for."""

    name: str = Field(description="The loss.")
    version: str = Field(description="Always 1.")
    last_inference: int = Field(description="When it was last answered: milliseconds since 1970, 0 for never.")
    inference_count: int = Field(description="Requests answered.")
    execution_count: int = Field(description="Batches computed for them.")
    inference_stats: InferenceStatistics = Field(description="The steps.")
    batch_stats: list[dict[str, Any]] = Field(description="Not told: empty.")


class Statistics(BaseModel):
    """What losses have been asked for since the service started, over all its processes."""

    model_stats: list[ModelStatistics] = Field(description="The losses.")


class Counts:
    """The counters of one loss; sums in seconds."""

    __slots__ = ("batches", "computed", "decoding", "encoding", "fail", "fail_seconds", "last", "queued", "seconds")

    def __init__(self) -> None:
        self.fail = 0
        self.batches = 0.0
        self.last = 0.0
        self.seconds = 0.0
        self.fail_seconds = 0.0
        self.decoding = Histogram(SECONDS)
        self.queued = Histogram(SECONDS)
        self.computed = Histogram(SECONDS)
        self.encoding = Histogram(SECONDS)

    @property
    def success(self) -> int:
        """Requests answered."""
        return self.decoding.count

    @property
    def steps(self) -> tuple[Histogram, ...]:
        """In the order of `STEPS`."""
        return self.decoding, self.queued, self.computed, self.encoding


class Counters:
    """The counters of all losses; used on the event loop alone."""

    def __init__(self) -> None:
        self._of = {name: Counts() for name in (*LOSSES, *OPERATIONS)}

    def answered(
        self, loss: str, decoding: float, outcome: Outcome[Any], encoding: float, seconds: float, requests: int = 1
    ) -> None:
        """Count so many requests that were answered alike: seconds of the steps of each, and of all of them."""
        counts = self._of[loss]
        counts.last = time.time()
        counts.batches += requests / max(outcome.batch, requests)
        counts.seconds += seconds * requests
        counts.decoding.observe(decoding, requests)
        counts.queued.observe(outcome.queued, requests)
        counts.computed.observe(outcome.computed, requests)
        counts.encoding.observe(encoding, requests)

    def failed(self, loss: str, seconds: float) -> None:
        """Count a request that was not."""
        counts = self._of[loss]
        counts.fail += 1
        counts.fail_seconds += seconds

    def told(self, snapshot: Snapshot) -> None:
        """Add all of it to a snapshot."""
        for loss, counts in self._of.items():
            if counts.fail:
                snapshot.count("gradwire_losses_total", counts.fail, loss, "failed")
                snapshot.count(FAILED_SECONDS, counts.fail_seconds, loss)
            if counts.last:
                snapshot.count("gradwire_losses_total", counts.success, loss, "answered")
                for step, histogram in zip(STEPS, counts.steps, strict=True):
                    snapshot.histogram("gradwire_step_duration_seconds", histogram, step, loss)
                snapshot.count(ANSWERED_SECONDS, counts.seconds, loss)
                snapshot.count(BATCHES, counts.batches, loss)
                snapshot.latest(LAST, counts.last, loss)


def statistics(snapshot: Snapshot, *losses: str) -> Statistics:
    """What a snapshot tells of these losses."""
    return Statistics(model_stats=[_told(loss, snapshot) for loss in losses])


def _told(loss: str, snapshot: Snapshot) -> ModelStatistics:
    success = int(snapshot.counted("gradwire_losses_total", loss, "answered"))
    fail = int(snapshot.counted("gradwire_losses_total", loss, "failed"))
    steps = {step: _duration(success, snapshot.total("gradwire_step_duration_seconds", step, loss)) for step in STEPS}
    return ModelStatistics(
        name=loss,
        version="1",
        last_inference=int(snapshot.latest_of(LAST, loss) * 1e3),
        inference_count=success,
        # Each request counts its share of its batch; callers that left took theirs with them.
        execution_count=max(round(snapshot.counted(BATCHES, loss)), min(success, 1)),
        inference_stats=InferenceStatistics(
            success=_duration(success, snapshot.counted(ANSWERED_SECONDS, loss)),
            fail=_duration(fail, snapshot.counted(FAILED_SECONDS, loss)),
            queue=steps["queue"],
            compute_input=steps["decode"],
            compute_infer=steps["compute"],
            compute_output=steps["encode"],
            cache_hit=_duration(0, 0),
        ),
        batch_stats=[],
    )


def _duration(count: int, seconds: float) -> Duration:
    return Duration(count=count, ns=int(seconds * 1e9))
