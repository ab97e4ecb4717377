"""Ids of runs: `ev_` and a version 7 UUID (RFC 9562) in Crockford's base32, which sorts by time."""

from __future__ import annotations

import re
import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 26
"""Digits of 5 bits that hold 128."""
FORM = re.compile(f"ev_[{ALPHABET}]{{{LENGTH}}}")


def new_run_id() -> str:
    """An id that no other process makes: the milliseconds since 1970 and 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    number = (
        (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    )
    return "ev_" + "".join(ALPHABET[number >> 5 * place & 31] for place in reversed(range(LENGTH)))


def is_run_id(text: str) -> bool:
    """Whether a text may be a run's id: all others are of no run."""
    return FORM.fullmatch(text) is not None
