"""What a caller shows: `gw_<id>_<secret><checksum>`, all of it letters and digits.

The id (12 characters) is public and finds the key's record. The secret (43 characters of 62, 256 bits) is random, so
SHA-256 of the whole is all that need be stored: there is nothing to guess that a slow hash would protect. The checksum
(CRC-32, 6 characters) lets a misspelt key be told from a wrong one, and lets scanners find keys in files.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from typing import Final, NamedTuple

ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_SIZE: Final = 12
SECRET_SIZE: Final = 43
CHECKSUM_SIZE: Final = 6
TOKEN: Final = re.compile(rb"gw_([0-9A-Za-z]{%d})_[0-9A-Za-z]{%d}" % (ID_SIZE, SECRET_SIZE + CHECKSUM_SIZE))
SIZE: Final = len("gw__") + ID_SIZE + SECRET_SIZE + CHECKSUM_SIZE


class Minted(NamedTuple):
    """A new key: its public id, what its holder shows, and what is stored of that."""

    id: str
    token: str
    sha256: str


def mint() -> Minted:
    """A new key, from the system's source of randomness."""
    key_id = _random(ID_SIZE)
    body = f"gw_{key_id}_{_random(SECRET_SIZE)}"
    token = body + _checksum(body.encode())
    return Minted(key_id, token, hashlib.sha256(token.encode()).hexdigest())


def id_in(token: bytes) -> bytes:
    """Where the id stands in a token; anything, in what is none."""
    return token[3 : 3 + ID_SIZE]


def sound(token: bytes) -> bool:
    """Whether this is a token at all, letter for letter as it was made: a key of someone's, perhaps."""
    return TOKEN.fullmatch(token) is not None and _checksum(token[:-CHECKSUM_SIZE]).encode() == token[-CHECKSUM_SIZE:]


def _random(size: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(size))


def _checksum(body: bytes) -> str:
    rest, digits = zlib.crc32(body), ""
    for _ in range(CHECKSUM_SIZE):
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
