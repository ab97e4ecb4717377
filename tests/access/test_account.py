"""Quotas: buckets that fill at a rate and hold a burst."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from service.access import Account, Exhausted, Key, Ledger, Standing

START = 1000.0


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    made = Ledger.private()
    yield made
    made.close()


def account(ledger: Ledger, key_id: str = "0" * 12, **quotas: Any) -> Account:
    key = Key(name="team", id=key_id, sha256="0" * 64, scopes=frozenset({"compute"}), **quotas)
    return Account(key, ledger)


def refused(took: Any) -> Exhausted:
    with pytest.raises(Exhausted) as caught:
        took()
    return caught.value


def told(standings: tuple[Standing | None, Standing | None]) -> tuple[int, float]:
    """What is left of the elements, and the seconds until all is there again, to a millionth."""
    _, elements = standings
    assert elements is not None
    return elements.left, round(elements.full_in, 6)


def test_a_burst_is_let_through_and_no_more(ledger: Ledger) -> None:
    made = account(ledger, requests_per_second=10, requests_burst=3)
    left = [made.take_request(START, computes=True)[0] for _ in range(3)]
    assert [standing and standing.left for standing in left] == [2, 1, 0]
    error = refused(lambda: made.take_request(START, computes=True))
    assert error.counted == "requests"
    assert error.wait == pytest.approx(0.1)


def test_what_was_refused_may_be_taken_after_the_wait(ledger: Ledger) -> None:
    made = account(ledger, requests_per_second=10, requests_burst=1)
    made.take_request(START, computes=True)
    wait = refused(lambda: made.take_request(START, computes=True)).wait
    made.take_request(START + wait, computes=True)
    assert refused(lambda: made.take_request(START + wait, computes=True)).wait == pytest.approx(0.1)


def test_without_a_burst_it_is_what_comes_in_a_second_and_at_least_one(ledger: Ledger) -> None:
    assert account(ledger, requests_per_second=50).requests == (50, 50)
    assert account(ledger, requests_per_second=0.1).requests == (1, 0.1)


def test_a_refusal_takes_nothing(ledger: Ledger) -> None:
    made = account(ledger, elements_per_second=100)
    made.take_elements(60, START)
    assert refused(lambda: made.take_elements(50, START)).wait == pytest.approx(0.1)
    assert refused(lambda: made.take_elements(50, START)).wait == pytest.approx(0.1)
    assert told(made.take_elements(40, START)) == (0, 1.0)


def test_a_bucket_never_holds_more_than_its_burst(ledger: Ledger) -> None:
    made = account(ledger, requests_per_second=10, requests_burst=2)
    for _ in range(2):
        made.take_request(START + 1e6, computes=True)
    refused(lambda: made.take_request(START + 1e6, computes=True))


def test_more_than_a_burst_is_given_to_a_full_bucket_and_made_up_for(ledger: Ledger) -> None:
    made = account(ledger, elements_per_second=100, elements_burst=200)
    assert told(made.take_elements(1000, START)) == (0, 10.0)
    assert refused(lambda: made.take_elements(1, START)).wait == pytest.approx(8.01)
    assert refused(lambda: made.take_elements(1000, START + 9.9)).wait == pytest.approx(0.1)
    made.take_elements(1000, START + 10)


def test_no_request_that_computes_is_let_in_while_no_elements_are_left(ledger: Ledger) -> None:
    made = account(ledger, requests_per_second=10, elements_per_second=100)
    made.take_elements(100, START)
    assert refused(lambda: made.take_request(START, computes=True)).counted == "elements"
    requests, elements = made.take_request(START, computes=False)
    assert requests is not None
    assert requests.left == 9  # the refused one was not counted
    assert elements is not None
    assert elements.left == 0


def test_over_a_long_time_the_rate_holds(ledger: Ledger) -> None:
    made, draw = account(ledger, elements_per_second=1000, elements_burst=500), random.Random(7)  # noqa: S311 # no secret
    now, taken = START, 0
    while now < START + 1000:
        now += draw.expovariate(20)
        count = draw.randint(1, 400)
        try:
            made.take_elements(count, now)
            taken += count
        except Exhausted:
            pass
    assert 900 * 1000 < taken <= 1000 * 1000 + 500


def test_keys_have_quotas_of_their_own(ledger: Ledger) -> None:
    one, other = (account(ledger, key_id, requests_per_second=1) for key_id in ("a" * 12, "b" * 12))
    one.take_request(START, computes=True)
    refused(lambda: one.take_request(START, computes=True))
    other.take_request(START, computes=True)
    again = account(ledger, "a" * 12, requests_per_second=1)  # as after a reload
    refused(lambda: again.take_request(START, computes=True))
