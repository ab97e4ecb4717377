"""The table of quotas: its slots, and several processes at once."""

from __future__ import annotations

import multiprocessing
import stat
from multiprocessing.synchronize import Barrier
from pathlib import Path

from service.access import Account, Exhausted, Key, Ledger
from service.access.ledger import SLOTS, shared_file

NOW = 1000.0
BURST = 4000


def account(ledger: Ledger) -> Account:
    key = Key(
        name="team",
        id="0" * 12,
        sha256="0" * 64,
        scopes=frozenset({"compute"}),
        requests_per_second=0.001,
        requests_burst=BURST,
    )
    return Account(key, ledger)


def take_all(file: Path, begin: Barrier, taken: multiprocessing.SimpleQueue[int]) -> None:
    """Take requests at one instant until there are no more."""
    ledger = Ledger.shared(file)
    own, count = account(ledger), 0
    begin.wait()
    try:
        while True:
            own.take_request(NOW, computes=True)
            count += 1
    except Exhausted:
        taken.put(count)


def test_processes_share_a_quota_to_the_last_request() -> None:
    spawn = multiprocessing.get_context("spawn")
    with shared_file() as file:
        begin, taken = spawn.Barrier(3), spawn.SimpleQueue()
        workers = [spawn.Process(target=take_all, args=(file, begin, taken)) for _ in range(3)]
        for worker in workers:
            worker.start()
        counts = [taken.get() for _ in workers]
        for worker in workers:
            worker.join()
    assert sum(counts) == BURST, counts


def test_the_file_is_its_owners_alone_and_goes_away() -> None:
    with shared_file() as file:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.exists()


def test_a_slot_stays_a_keys_own() -> None:
    ledger = Ledger.private()
    ids = [b"%012d" % number for number in range(4096)]
    slots = {one: ledger.slot(one) for one in ids}
    assert len(set(slots.values())) == len(ids)
    assert all(ledger.slot(one) == at and ledger.holds(at, one) for one, at in slots.items())
    ledger.close()


def test_a_full_table_gives_up_who_is_nearest_to_full() -> None:
    ledger = Ledger.private()
    for number in range(SLOTS * 2):
        at = ledger.slot(b"%012d" % number)
        ledger.instants[at + 2] = NOW
    newest = b"newest------"
    at = ledger.slot(newest)
    assert ledger.holds(at, newest)
    assert ledger.instants[at + 2] == ledger.instants[at + 3] == 0.0
    assert ledger.slot(newest) == at
    ledger.close()
