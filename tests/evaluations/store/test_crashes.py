"""A process that is killed at any moment loses no acknowledged batch, and none is counted twice."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from service.evaluations.refusals import StoreUnavailable
from service.evaluations.run import Added
from tests.evaluations.store import crashing
from tests.evaluations.store.opened import Opened, batch, folded
from tests.postgresql import Cluster

BATCHES = 150


def test_a_killed_process_loses_no_acknowledged_batch_and_counts_none_twice(opening: Callable[..., Opened]) -> None:
    store = opening()
    run_id = store.run()
    seed = random.randrange(1 << 30)  # noqa: S311 # nothing is secret
    command = [sys.executable, crashing.__file__, store.url, run_id, str(BATCHES), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (seed, done.stderr)
    told = json.loads(done.stdout)
    assert told["lives"] == crashing.KILLS + 1
    assert sorted(told["acknowledged"]) == list(range(BATCHES)), seed
    with store.face._database.read() as connection:
        rows = connection.exec_driver_sql("SELECT seq, batch_id FROM batches ORDER BY seq").all()
    assert [seq for seq, _ in rows] == list(range(1, BATCHES + 1))
    assert sorted(batch_id for _, batch_id in rows) == sorted(f"b{number}" for number in range(BATCHES))
    run, tally = store(store.face.tally(run_id, None))
    assert (run.batches, run.samples) == (BATCHES, 4 * BATCHES)
    assert tally.encode() == folded(range(BATCHES)).encode()


def test_two_writing_processes_give_every_batch_a_number_of_its_own(opening: Callable[..., Opened]) -> None:
    store = opening()
    run_id = store.run()

    def add(first: int) -> None:
        with Opened(store.url) as other:
            for start in range(first, 120, 40):
                outcomes = other.add(run_id, *[batch(number) for number in range(start, start + 20)])
                assert all(isinstance(one, Added) for one in outcomes), outcomes

    threads = [threading.Thread(target=add, args=(first,)) for first in (0, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listed = store(store.face.batches(run_id, None, limit=1000)).batches
    assert [one.seq for one in listed] == list(range(1, 121))
    assert store.tally(run_id).encode() == folded(range(120)).encode()


def test_a_server_that_starts_again_is_met_anew(postgresql: Cluster) -> None:
    with Opened(postgresql.new_database()) as store:
        run_id = store.run()
        assert isinstance(store.add(run_id, batch(0))[0], Added)
        postgresql.stop()
        try:
            for asked in (store.face.get(run_id, None), store.face.tally(run_id, None)):
                with pytest.raises(StoreUnavailable) as refused:
                    store(asked)
                assert refused.value.retry_after > 0
            assert [type(one) for one in store.add(run_id, batch(1), batch(2))] == [StoreUnavailable] * 2
        finally:
            postgresql.start()
        assert all(isinstance(one, Added) for one in store.add(run_id, batch(0), batch(1), batch(2)))
        assert store.tally(run_id).encode() == folded(range(3)).encode()
