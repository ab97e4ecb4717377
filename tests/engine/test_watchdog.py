"""Workers that die or hang are replaced: their own batch fails, what is queued goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from service.compute import Work
from service.engine import WorkerFailed
from service.engine.base import probe
from service.engine.watchdog import MOST_STUCK
from tests.engine.faulty import Faulty, holds, square, unlike


class Killing:
    """Ends the worker's thread at a batch that holds 13, once it has been told to."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()

    def __call__(self, batch: Sequence[Work]) -> None:
        if holds(batch, 13.0):
            self.reached.set()
            assert self.go.wait(60)
            raise SystemExit


class Hanging:
    """Waits at a batch that holds 13, until it is released."""

    def __init__(self) -> None:
        self.reached, self.release = threading.Event(), threading.Event()

    def __call__(self, batch: Sequence[Work]) -> None:
        if holds(batch, 13.0):
            self.reached.set()
            assert self.release.wait(60)


def test_a_worker_that_dies_is_replaced_and_what_is_queued_goes_on() -> None:
    async def main() -> None:
        hook = Killing()
        engine = Faulty(hook)
        await engine.start()
        fatal = engine.submit(unlike(13.0))
        assert await asyncio.to_thread(hook.reached.wait, 60)
        queued = [engine.submit(square(float(at), size=at)) for at in range(1, 4)]
        hook.go.set()
        with pytest.raises(WorkerFailed):
            await fatal
        assert [float((await one).result.loss) for one in queued] == [1.0, 4.0, 9.0]
        assert await probe(engine)
        assert engine.tally.restarts == 1
        assert engine.load[:2] == (0, 0)
        await engine.stop()

    asyncio.run(main())


def test_all_of_a_dying_workers_batch_fail_and_answers_from_before_are_told() -> None:
    async def main() -> None:
        hook = Killing()
        engine = Faulty(hook)
        await engine.start()
        first = engine.submit(unlike(13.0))
        assert await asyncio.to_thread(hook.reached.wait, 60)
        # The next worker computes 2 and then a batch with another 13, of which it dies.
        answered, *mates = [engine.submit(one) for one in (unlike(4.0), square(2.0), square(13.0))]
        hook.go.set()
        assert float((await answered).result.loss) == 4.0
        for failed in (first, *mates):
            with pytest.raises(WorkerFailed):
                await failed
        assert engine.tally.restarts == 2
        await engine.stop()

    asyncio.run(main())


def test_a_worker_that_hangs_is_replaced_and_computes_no_more_when_it_comes_back() -> None:
    async def main() -> None:
        hook = Hanging()
        engine = Faulty(hook, stall_seconds=0.1)
        await engine.start()
        stuck = engine.submit(unlike(13.0))
        queued = engine.submit(square(2.0, size=2))
        with pytest.raises(WorkerFailed):
            await stuck
        assert float((await queued).result.loss) == 4.0
        assert await probe(engine)
        assert engine.tally.restarts == 1
        hook.release.set()
        assert float((await engine.submit(square(13.0))).result.loss) == 169.0
        await engine.stop()
        assert engine.tally.restarts == 1

    asyncio.run(main())


def test_answers_that_were_finished_before_a_worker_hung_are_told() -> None:
    async def main() -> None:
        hook = Hanging()
        engine = Faulty(hook, stall_seconds=0.3)
        await engine.start()
        before = [engine.submit(square(3.0, size=1 + at)) for at in range(3)]
        stuck = engine.submit(unlike(13.0))
        assert [float((await one).result.loss) for one in before] == [9.0] * 3
        with pytest.raises(WorkerFailed):
            await stuck
        hook.release.set()
        await engine.stop()

    asyncio.run(main())


def test_an_engine_whose_workers_all_hang_gives_up() -> None:
    async def main() -> None:
        reasons: list[str] = []
        hook = Hanging()
        engine = Faulty(hook, stall_seconds=0.1)
        engine.on_lost = reasons.append
        await engine.start()
        for _ in range(MOST_STUCK):
            with pytest.raises(WorkerFailed):
                await engine.submit(square(13.0))
        assert reasons == ["the worker hung again and again"]
        assert not await probe(engine)
        assert engine.tally.restarts == MOST_STUCK - 1
        hook.release.set()
        await engine.stop()

    asyncio.run(main())


def test_a_worker_that_hangs_at_the_end_is_waited_for_only_while_somebody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.engine.watchdog.STOP_SECONDS", 0.05)

    async def main() -> None:
        hook = Hanging()
        engine = Faulty(hook)
        await engine.start()
        stuck = engine.submit(square(13.0))
        assert await asyncio.to_thread(hook.reached.wait, 60)
        stuck.cancel()
        await engine.stop()
        hook.release.set()

    asyncio.run(main())


def test_the_load_is_what_waits_and_its_rate_is_measured() -> None:
    async def main() -> None:
        hook = Hanging()
        engine = Faulty(hook)
        await engine.start()
        assert engine.load.requests == engine.load.elements == 0
        assert engine.load.elements_per_second > 0
        asked = [engine.submit(square(13.0, size=100)) for _ in range(3)]
        assert engine.load[:2] == (3, 3 * asked_elements())
        before = engine.load.elements_per_second
        hook.release.set()
        await asyncio.gather(*asked)
        await asyncio.sleep(0)
        assert engine.load[:2] == (0, 0)
        assert 0 < engine.load.elements_per_second < before, "300 elements took longer than a guess has them take"
        await engine.stop()

    def asked_elements() -> int:
        return square(13.0, size=100).checked.layout.elements

    asyncio.run(main())
