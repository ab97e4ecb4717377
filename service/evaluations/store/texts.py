"""Which texts both databases can hold."""

from __future__ import annotations


def storable(text: str) -> bool:
    """Whether a row can have this text: PostgreSQL's have no NUL, and half a surrogate pair is no UTF-8."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
