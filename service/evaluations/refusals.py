"""Why the store of evaluations refuses: each is named for what happened, and http gives it its status."""

from __future__ import annotations

from typing import Literal


class EvaluationRefused(Exception):
    """What was asked of the evaluations is not done; nothing was changed."""


class NoSuchRun(EvaluationRefused):
    """There is no run of this id, or it is another key's."""


class KeyReused(EvaluationRefused):
    """A run was made with this idempotency key before, and from another spec."""


class BatchReused(EvaluationRefused):
    """The run has a batch of this id, and with other contents."""


class RunSealed(EvaluationRefused):
    """The run takes no more batches."""


class RunFull(EvaluationRefused):
    """The run, of so many `samples`, would have more than the `most` that a run may have."""

    def __init__(self, most: int, samples: int) -> None:
        super().__init__(f"a run has at most {most} samples; this one has {samples}")
        self.most = most
        self.samples = samples


class StoreFull(EvaluationRefused):
    """The store would hold more bytes, or more runs, than the `most` that it may."""

    def __init__(self, most: int, of: Literal["bytes", "runs"]) -> None:
        super().__init__(f"the store holds at most {most} {of}")
        self.most = most
        self.of = of


class FaultyCursor(EvaluationRefused):
    """The cursor is none that a page of this listing gave."""


class StoreUnavailable(EvaluationRefused):
    """The database cannot be reached, or is busy for too long: worth another try after `retry_after` seconds.

    Whether what was asked is done may be open, as when the connection is lost while it commits: to ask again, with the
    same batch id or idempotency key, is always right.
    """

    retry_after = 5


class StoreBusy(StoreUnavailable):
    """More waits to be written than may wait."""

    retry_after = 1


class StoreUnusable(Exception):
    """The store cannot be opened, and no retry helps: a faulty URL, a missing driver, a schema newer than the code."""
