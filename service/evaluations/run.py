"""What the store answers: runs, batches, and pages of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from schemas.evaluation.spec import RunSpec
    from service.evaluations.partial import Partial
    from service.evaluations.samples import Samples

State = Literal["open", "sealed"]


@dataclass(frozen=True, slots=True)
class Run:
    """An evaluation run as it stands after `seq` batches. Times are aware, in UTC."""

    id: str
    spec: RunSpec
    owner: str | None
    state: State
    created_at: datetime
    updated_at: datetime
    sealed_at: datetime | None
    seq: int
    batches: int
    samples: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A computed batch, to be made part of its run.

    `digest` is of what was sent: the same id with another digest is refused. `sums` are the exact sums of its samples
    (`service.evaluations.series.packed`). `answer` are the batch's own figures, as
    JSON can hold them; a retry is answered with them. `nbytes` is what the batch takes in memory
    (`service.evaluations.adding.memory_of`): so much is bounded while it waits.
    """

    batch_id: str
    digest: bytes
    partial: Partial
    samples: Samples
    sums: bytes
    answer: dict[str, Any]
    nbytes: int


@dataclass(frozen=True, slots=True)
class Added:
    """A batch that is durably part of its run: the `seq`-th. `total` is of a state that it is in."""

    seq: int
    duplicate: bool
    answer: dict[str, Any]
    total: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """One batch of a listing."""

    batch_id: str
    seq: int
    samples: int
    loss: Any
    divisor: Any
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Some runs, and the cursor of the next page where there is one."""

    runs: list[Run]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Some batches in commit order, and the cursor of the next page where there is one."""

    batches: list[StoredBatch]
    next_cursor: str | None
