"""The evaluations of an application: opened when they are first asked for, and what they refuse as problems."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Scope

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
    StoreFull,
    StoreUnavailable,
    StoreUnusable,
)
from service.http.problems import HTTPProblem
from service.settings import Settings

if TYPE_CHECKING:
    from service.evaluations.evaluations import Evaluations

log = logging.getLogger("gradwire.evaluations")

KEPT_SPECS: Final = 256
"""Specs of runs that are remembered: a batch then needs no reading from the database before it is computed."""


class Runs:
    """What serves evaluations: they are opened once, at first use, since a server of losses alone needs no database."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: Evaluations | None = None
        self._opening = asyncio.Lock()
        self._specs: OrderedDict[tuple[str, str | None], RunSpec] = OrderedDict()

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
        """Open the database where one is configured. Raises `StoreUnusable` and `StoreUnavailable`."""
        if "database_url" in self._settings.model_fields_set and self._settings.database_url.get_secret_value():
            self._opened = await self.open_now()

    async def close(self) -> None:
        """Write what is acknowledged to be written, and close the database."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    async def spec(self, run_id: str, owner: str | None) -> RunSpec:
        """What a run computes, which never changes. Raises `NoSuchRun` where it has never been."""
        key = (run_id, owner)
        found = self._specs.get(key)
        if found is None:
            evaluations = await self.evaluations()
            found = self._specs[key] = (await evaluations.get(run_id, owner)).spec
            if len(self._specs) > KEPT_SPECS:
                self._specs.popitem(last=False)
        else:
            self._specs.move_to_end(key)
        return found

    def forget(self, run_id: str, owner: str | None) -> None:
        """A run is gone."""
        self._specs.pop((run_id, owner), None)


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
        return HTTPProblem(409, "the evaluation would have more samples than one may have")
    if isinstance(error, StoreFull):
        return HTTPProblem(507, "the store of evaluations is full")
    if isinstance(error, FaultyCursor):
        return InvalidRequest([Fault("/query/cursor", "is no cursor of such a listing")])
    if isinstance(error, StoreUnavailable):
        wait = {"retry-after": str(error.retry_after)}
        return HTTPProblem(503, "the database of evaluations cannot be reached now", wait)
    raise error


def with_interval(total: dict[str, Any], level: float) -> dict[str, Any]:
    """What batches add up to, with the interval of the loss that its standard error gives (normal approximation)."""
    error, interval = total["standard_error"], None
    if error is not None:
        reach = NormalDist().inv_cdf((1 + level) / 2) * error
        interval = {"level": level, "low": total["loss"] - reach, "high": total["loss"] + reach, "method": "normal"}
    return {**total, "interval": interval}


def told(run: Any, total: dict[str, Any] | None = None) -> dict[str, Any]:
    """A run, as it is answered."""
    spec: RunSpec = run.spec
    answer = {
        "id": run.id,
        **spec.model_dump(mode="json"),
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
