"""What each loss has been asked for so far, in this process: Triton's statistics extension.

Counters and sums alone, in a fixed number: what one request costs is a few additions.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from schemas.losses import LOSSES
from service.engine.base import Outcome


class Duration(BaseModel):
    """How often something happened, and how long all of it took."""

    count: int = Field(description="How often.")
    ns: int = Field(description="Nanoseconds in all.")


class InferenceStatistics(BaseModel):
    """The requests for a loss, and the steps that answering them took."""

    success: Duration = Field(description="Answered, by any path: from the whole body to the whole answer.")
    fail: Duration = Field(description="Refused, or failed: inference requests alone.")
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
    """What losses have been asked for, in the process that answers, since it started."""

    model_stats: list[ModelStatistics] = Field(description="The losses.")


@dataclass(slots=True)
class Counts:
    """The counters of one loss; sums in seconds."""

    success: int = 0
    fail: int = 0
    batches: float = 0.0
    last: float = 0.0
    success_seconds: float = 0.0
    fail_seconds: float = 0.0
    decoding: float = 0.0
    queued: float = 0.0
    computed: float = 0.0
    encoding: float = 0.0


class Counters:
    """The counters of all losses; used on the event loop alone."""

    def __init__(self) -> None:
        self._of = {name: Counts() for name in LOSSES}

    def answered(
        self, loss: str, decoding: float, outcome: Outcome[Any], encoding: float, seconds: float, requests: int = 1
    ) -> None:
        """Count so many requests that were answered alike: seconds of the steps of each, and of all of them."""
        counts = self._of[loss]
        counts.success += requests
        counts.batches += requests / max(outcome.batch, requests)
        counts.last = time.time()
        counts.success_seconds += seconds * requests
        counts.decoding += decoding * requests
        counts.queued += outcome.queued * requests
        counts.computed += outcome.computed * requests
        counts.encoding += encoding * requests

    def failed(self, loss: str, seconds: float) -> None:
        """Count a request that was not."""
        counts = self._of[loss]
        counts.fail += 1
        counts.fail_seconds += seconds

    def of(self, *losses: str) -> Statistics:
        """The statistics of these losses."""
        return Statistics(model_stats=[_told(loss, self._of[loss]) for loss in losses])


def _told(loss: str, counts: Counts) -> ModelStatistics:
    success = counts.success
    return ModelStatistics(
        name=loss,
        version="1",
        last_inference=int(counts.last * 1e3),
        inference_count=success,
        # Each request counts its share of its batch; callers that left took theirs with them.
        execution_count=max(round(counts.batches), min(success, 1)),
        inference_stats=InferenceStatistics(
            success=_duration(success, counts.success_seconds),
            fail=_duration(counts.fail, counts.fail_seconds),
            queue=_duration(success, counts.queued),
            compute_input=_duration(success, counts.decoding),
            compute_infer=_duration(success, counts.computed),
            compute_output=_duration(success, counts.encoding),
            cache_hit=_duration(0, 0),
        ),
        batch_stats=[],
    )


def _duration(count: int, seconds: float) -> Duration:
    return Duration(count=count, ns=int(seconds * 1e9))
