"""Keys as their holders show them."""

from __future__ import annotations

import hashlib
import re
import string

import pytest

from service.access.token import SIZE, id_in, mint, sound


def test_a_token_holds_its_id_and_256_random_bits() -> None:
    minted = mint()
    found = re.fullmatch(r"gw_([0-9A-Za-z]{12})_([0-9A-Za-z]{43})[0-9A-Za-z]{6}", minted.token)
    assert found is not None
    assert found[1] == minted.id
    assert id_in(minted.token.encode()) == minted.id.encode()
    assert 62**43 > 2**256
    assert len(minted.token) == SIZE


def test_what_is_stored_is_the_digest_of_the_whole() -> None:
    minted = mint()
    assert minted.sha256 == hashlib.sha256(minted.token.encode()).hexdigest()


def test_no_two_tokens_are_alike() -> None:
    made = [mint() for _ in range(200)]
    assert len({one.id for one in made}) == len({one.token for one in made}) == 200


def test_a_token_is_sound_and_any_other_letter_makes_it_unsound() -> None:
    token = mint().token
    assert sound(token.encode())
    for at in range(SIZE):
        other = next(one for one in string.ascii_letters if one != token[at])
        assert not sound((token[:at] + other + token[at + 1 :]).encode())


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + b"x", lambda t: t + b"\n", lambda _: b""])
def test_a_cut_or_lengthened_token_is_unsound(change: object) -> None:
    assert callable(change)
    assert not sound(change(mint().token.encode()))
