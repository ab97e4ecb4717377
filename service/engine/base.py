"""What every engine is: requests in, outcomes out, awaited.

    Exception
    ├── EngineStopped       it takes no more work, or stopped before this request's turn
    ├── WorkerFailed        the worker died or hung in the midst of this request's batch, or the device is lost
    ├── DeadlinePassed      there was no answer by the request's deadline
    └── TooLargeForDevice   the device has no room for this request, even alone

Whatever else `submit` raises came from computing that one request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol

from typing_extensions import TypeVar

from schemas.bundle import Bundle, BundleResult
from schemas.losses import LOSSES
from schemas.operation import Operation, OperationResult
from schemas.request import LossRequest
from schemas.result import LossResult
from service.engine.tally import Tally

R = TypeVar("R", LossResult, BundleResult, OperationResult, default=LossResult)


class EngineStopped(Exception):
    """The engine takes no more work."""


class WorkerFailed(Exception):
    """The worker did not come back with an answer. Asked again, the request may be answered."""


class DeadlinePassed(Exception):
    """The request's deadline passed before it was answered."""


class TooLargeForDevice(Exception):
    """The device has no room for the request. `never`: it would not have if it were empty."""

    def __init__(self, *, never: bool = False) -> None:
        super().__init__("the device has no room for this request")
        self.never = never


class Load(NamedTuple):
    """Requests that wait or are being computed, their elements, and how many of these are computed a second."""

    requests: int
    elements: int
    elements_per_second: float


class Outcome(NamedTuple, Generic[R]):
    """A result, the seconds that its request waited and was computed (with its batch), and the batch's requests.

    `began` is the `time.perf_counter` at which computing the batch began: no two batches of an engine have the same.
    """

    result: R
    queued: float
    computed: float
    batch: int = 1
    began: float = 0.0


class Engine(Protocol):
    """Computes requests; every method is called on one event loop."""

    tally: Tally
    """What it has counted since it was made."""

    on_lost: Callable[[str], None] | None
    """Called once, with the reason, when this process cannot compute any more and has to be replaced."""

    @property
    def backlog(self) -> float:
        """The seconds that all that waits or is being computed takes, at the rate of late."""

    @property
    def running(self) -> bool:
        """Whether it takes work."""

    @property
    def load(self) -> Load:
        """What waits or is being computed, and how fast that goes."""

    async def start(self) -> None:
        """Open the device and begin to take work. Raises `ValueError` for a device that is not there."""

    async def stop(self) -> None:
        """Take no more work, answer what is queued, and release the device."""

    def submit(
        self, request: LossRequest, *, on_worker: bool = False, deadline: float | None = None
    ) -> asyncio.Future[Outcome]:
        """The outcome of one request, to be awaited. Cancelled before its turn has come, it is not computed.

        `on_worker`: not on the event loop, however small it is. `deadline`, by `time.perf_counter`: what has not been
        computed by then is not, and the future raises `DeadlinePassed` at that time, whatever the worker does.
        Raises `EngineStopped` where no more work is taken, and `WorkerFailed` where none can be computed any more.
        """

    def submit_operation(
        self, operation: Operation, *, deadline: float | None = None
    ) -> asyncio.Future[Outcome[OperationResult]]:
        """The outcome of an operation, in the same way."""

    def submit_bundle(self, bundle: Bundle, *, deadline: float | None = None) -> asyncio.Future[Outcome[BundleResult]]:
        """The outcome of a bundle, in the same way; if computing it raises, its requests can be submitted alone."""


async def probe(engine: Engine) -> bool:
    """Whether the engine's worker computes: a small loss with a known answer goes all the way through it."""
    cls = LOSSES["mse_loss"]
    # Asked for a gradient in the target too, it goes by autograd, whose first run takes longer.
    request = cls.model_validate({"input": [3.0], "target": [1.0], "gradients": ["input", "target"]})
    try:
        outcome = await engine.submit(request, on_worker=True)
    except Exception:  # noqa: BLE001 - whatever it is, the engine does not compute
        return False
    return float(outcome.result.loss) == 4.0 and float(outcome.result.gradients["input"][0]) == 4.0
