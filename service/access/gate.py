"""Who is let in: a token becomes a caller, or a reason why not."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final, Literal

from service.access.account import Account
from service.access.keys import Key
from service.access.ledger import Ledger
from service.access.token import id_in, sound

Reason = Literal["misspelt", "unknown", "expired", "disabled"]

NOBODY: Final = bytes(32)
"""What the digest of an unknown key is compared with, so that it takes as long as a wrong one."""


class Denied(Exception):
    """A token that lets nobody in. Only who has the right one is told that it is expired or disabled."""

    def __init__(self, reason: Reason, name: str | None = None) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.name = name
        """Whose key it is, where that is known."""


class Caller:
    """The holder of a key: its name, what it may do, and its quotas where it has any."""

    __slots__ = ("account", "digest", "disabled", "expires", "name", "scopes")

    def __init__(self, key: Key, ledger: Ledger) -> None:
        self.name = key.name
        self.scopes = key.scopes
        self.digest = bytes.fromhex(key.sha256)
        self.disabled = key.disabled
        self.expires = key.expires.timestamp() if key.expires is not None else float("inf")
        limited = key.requests_per_second is not None or key.elements_per_second is not None
        self.account = Account(key, ledger) if limited else None


class Gate:
    """All who may come in. Replacing the keys keeps what has been used of each one's quotas."""

    def __init__(self, keys: Iterable[Key], ledger: Ledger) -> None:
        self._ledger = ledger
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """From now on, these keys alone."""
        self._callers = {key.id.encode(): Caller(key, self._ledger) for key in keys}

    def __len__(self) -> int:
        return len(self._callers)

    def enter(self, token: bytes, now: float) -> Caller:
        """Whose token this is; `now` in seconds since 1970. Raises `Denied`."""
        caller = self._callers.get(id_in(token))
        digest = hashlib.sha256(token).digest()
        right = hmac.compare_digest(digest, NOBODY if caller is None else caller.digest)
        if caller is None or not right:
            raise Denied("unknown" if sound(token) else "misspelt")
        if caller.disabled:
            raise Denied("disabled", caller.name)
        if caller.expires <= now:
            raise Denied("expired", caller.name)
        return caller
