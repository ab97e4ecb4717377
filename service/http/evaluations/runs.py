"""The evaluations of an application: opened when they are first asked for, and what they refuse as problems."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Scope

from schemas.evaluation.shared import Shared
from schemas.evaluation.spec import RunSpec
from schemas.problem import Fault, InvalidRequest
from service.evaluations.refusals import (
    BatchReused,
    EvaluationRefused,
    FaultyCursor,
    KeyReused,
    NoSuchRun,
    RunFull,
    RunSealed,
    StoreBusy,
    StoreFull,
    StoreUnavailable,
    StoreUnusable,
)
from service.evaluations.results import interval
from service.http.body import aside
from service.http.evaluations.turns import Turns
from service.http.problems import HTTPProblem
from service.settings import Settings

if TYPE_CHECKING:
    from service.evaluations.evaluations import Evaluations

log = logging.getLogger("gradwire.evaluations")

KEPT_SPECS: Final = 256
"""Specs of runs that are remembered: a batch then needs no reading from the database before it is computed."""
KEPT_BYTES: Final = 8 << 20
"""Bytes of JSON of those specs together, but for the last one; as lists of numbers they take several times as much."""


class Runs:
    """What serves evaluations: they are opened once, at first use, since a server of losses alone needs no database."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: Evaluations | None = None
        self._opening = asyncio.Lock()
        self._kept: OrderedDict[tuple[str, str | None], tuple[Shared, int]] = OrderedDict()
        self._kept_bytes = 0
        self.turns = Turns()

    async def evaluations(self) -> Evaluations:
        """The evaluations. Raises `HTTPProblem` 404 where they are off, and 503 where they cannot be opened."""
        if self._opened is None:
            async with self._opening:
                if self._opened is None:
                    self._opened = await self._open()
        return self._opened

    async def _open(self) -> Evaluations:
        if not self._settings.database_url.get_secret_value():
            raise HTTPProblem(404, "evaluations are off here: GRADWIRE_DATABASE_URL is empty")
        try:
            return await self.open_now()
        except StoreUnusable as error:
            log.error("evaluations cannot be served: %s", error)  # noqa: TRY400 - the reason says all
            raise HTTPProblem(
                503, "evaluations cannot be served now: the log tells why", {"retry-after": "30"}
            ) from None
        except StoreUnavailable as error:
            raise refusal(error) from None

    async def open_now(self) -> Evaluations:
        """Open and migrate the database. Raises `StoreUnusable` and `StoreUnavailable`."""
        from service.evaluations.evaluations import Evaluations  # noqa: PLC0415 - SQLAlchemy is loaded at first use

        return await Evaluations.open(self._settings)

    async def start(self) -> None:
        """Open the database where one is configured. Raises `StoreUnusable`.

        One that cannot be reached yet keeps nobody from computing losses: it is opened when it is asked for.
        """
        if "database_url" in self._settings.model_fields_set and self._settings.database_url.get_secret_value():
            try:
                self._opened = await self.open_now()
            except StoreUnavailable as error:
                log.warning("evaluations wait for their database, which cannot be reached: %s", error)

    async def close(self) -> None:
        """Write what is acknowledged to be written, and close the database."""
        self.turns.close()
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    async def shared(self, run_id: str, owner: str | None) -> Shared:
        """What all batches of a run share, which never changes. Raises `NoSuchRun` where it has never been."""
        key = (run_id, owner)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        evaluations = await self.evaluations()
        spec = (await evaluations.get(run_id, owner)).spec
        found, size = await aside(_read, spec)
        self.forget(run_id, owner)  # another batch may have been here meanwhile
        self._kept[key] = found, size
        self._kept_bytes += size
        while len(self._kept) > KEPT_SPECS or (self._kept_bytes > KEPT_BYTES and len(self._kept) > 1):
            self._kept_bytes -= self._kept.popitem(last=False)[1][1]
        return found

    def forget(self, run_id: str, owner: str | None) -> None:
        """A run is gone."""
        self._kept_bytes -= self._kept.pop((run_id, owner), (None, 0))[1]


def _read(spec: RunSpec) -> tuple[Shared, int]:
    """What batches share, and the bytes of JSON that it takes."""
    return Shared.of(spec), len(spec.model_dump_json())


def owner_of(scope: Scope) -> str | None:
    """Whose runs a caller sees: those of its API key; without keys, everyone's."""
    found: str | None = scope.get("gradwire.caller")
    return found


def refusal(error: EvaluationRefused) -> Exception:
    """What a caller is told of a refusal."""
    if isinstance(error, NoSuchRun):
        return HTTPProblem(404, "there is no such evaluation")
    if isinstance(error, RunSealed):
        return HTTPProblem(409, "the evaluation is sealed: it takes no more batches")
    if isinstance(error, BatchReused):
        return InvalidRequest([Fault("/batch_id", "the evaluation has a batch of this id with other contents")])
    if isinstance(error, KeyReused):
        return HTTPProblem(422, "an evaluation was made with this Idempotency-Key from another request")
    if isinstance(error, RunFull):
        return HTTPProblem(
            409,
            f"the evaluation has {error.samples} samples and would have more than the {error.most} that one may have: "
            "make another for the rest, or ask for a larger GRADWIRE_EVALUATION_MAX_SAMPLES",
        )
    if isinstance(error, StoreFull):
        return HTTPProblem(
            507,
            f"the store of evaluations is full, it may hold {error.most} {error.of}: delete evaluations, or ask for a "
            f"larger GRADWIRE_EVALUATION_MAX_{error.of.upper()}",
        )
    if isinstance(error, FaultyCursor):
        return InvalidRequest([Fault("/query/cursor", "is no cursor of such a listing")])
    if isinstance(error, StoreUnavailable):
        away = "the database of evaluations cannot be reached now"
        busy = "more batches wait to be written than may wait: send it again"
        wait = {"retry-after": str(error.retry_after)}
        return HTTPProblem(503, busy if isinstance(error, StoreBusy) else away, wait)
    raise error


def with_interval(total: dict[str, Any], level: float) -> dict[str, Any]:
    """What batches add up to, with the interval of the loss that its standard error gives (normal approximation)."""
    return {**total, "interval": interval(total["loss"], total["standard_error"], level)}


LONG: Final = frozenset(("options", "classes", "groups"))
"""What may be long of a run: a listing leaves it out."""


def told(run: Any, total: dict[str, Any] | None = None, *, listed: bool = False) -> dict[str, Any]:
    """A run, as it is answered; `listed`: without what may be long."""
    spec: RunSpec = run.spec
    answer = {
        "id": run.id,
        **spec.model_dump(mode="json", exclude=set(LONG) if listed else None),
        "state": run.state,
        "created_at": run.created_at.isoformat(),
        "updated_at": run.updated_at.isoformat(),
        "sealed_at": None if run.sealed_at is None else run.sealed_at.isoformat(),
        "batches": run.batches,
        "samples": run.samples,
        "stored_bytes": run.stored_bytes,
    }
    if total is not None:
        answer["total"] = total
    return answer
