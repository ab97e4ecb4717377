"""Evaluations with an event loop of their own, and batches to add."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from pydantic import SecretStr

from schemas.evaluation.spec import RunSpec
from service.evaluations.evaluations import Evaluations
from service.evaluations.partial import partial_of
from service.evaluations.run import Added, NewBatch
from service.evaluations.samples import Samples, keys_of
from service.evaluations.scored import Scored
from service.evaluations.series import packed
from service.evaluations.tally import Tally
from service.settings import Settings

T = TypeVar("T")

SPEC = RunSpec(loss="mse_loss", name="nightly", tags={"model": "a", "split": "test"})


class Opened:
    """A store that is open while the block runs; called with what its face answers, it waits for it."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.url = url
        self._settings = Settings(database_url=SecretStr(url), **settings)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self.face = self(Evaluations.open(self._settings))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self(self.face.close())
        self._runner.close()

    def __call__(self, asked: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(asked)

    def run(self, spec: RunSpec = SPEC, owner: str | None = None) -> str:
        """The id of a new run."""
        return self(self.face.create(spec, owner, None))[0].id

    def add(self, run_id: str, *batches: NewBatch, owner: str | None = None) -> list[Added | BaseException]:
        """Add batches at once; what each was answered or refused with."""

        async def all_at_once() -> list[Added | BaseException]:
            return await asyncio.gather(*[self.face.add(run_id, owner, one) for one in batches], return_exceptions=True)

        return self(all_at_once())

    def tally(self, run_id: str) -> Tally:
        """A run's tally."""
        return self(self.face.tally(run_id, None))[1]


def added(outcomes: list[Added | BaseException]) -> list[Added]:
    """The same, when none was refused."""
    assert [one for one in outcomes if not isinstance(one, Added)] == []
    return [one for one in outcomes if isinstance(one, Added)]


def losses_of(number: int, samples: int = 4) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The losses of a batch."""
    return np.random.default_rng(number).lognormal(0, 3, samples)


def batch(number: int, samples: int = 4, batch_id: str | None = None, spec: RunSpec = SPEC) -> NewBatch:
    """A batch, always the same for its number."""
    values = losses_of(number, samples)
    batch_id = f"b{number}" if batch_id is None else batch_id
    ones = np.ones(samples)
    counted = np.ones(samples, dtype=np.int64)
    scored = Scored(
        batch_id=batch_id,
        values=values,
        shares=ones,
        counts=counted,
        ignored=np.zeros(samples, dtype=np.int64),
        element_values=values,
        element_shares=ones,
        element_samples=np.arange(samples),
    )
    partial = partial_of(spec, scored)
    return NewBatch(
        batch_id,
        hashlib.sha256(values.tobytes()).digest()[:16],
        partial,
        Samples(values, ones, keys_of(batch_id, samples, None)),
        packed(partial.moments(), void=False),
        {"samples": samples, "loss": float(values.mean()), "divisor": float(samples)},
        values.nbytes,
    )


def folded(numbers: range, samples: int = 4) -> Tally:
    """The tally of batches of these numbers."""
    tally = Tally(SPEC)
    for number in numbers:
        tally.add(batch(number, samples).partial)
    return tally
