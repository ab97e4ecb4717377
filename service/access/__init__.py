"""Who may call, and how much: keys, scopes and quotas. Knows nothing of HTTP."""

from service.access.account import Account, Exhausted, Quota, Standing
from service.access.gate import Caller, Denied, Gate
from service.access.keyring import FaultyKeys, Keyring
from service.access.keys import SCOPES, Key, Scope
from service.access.ledger import Ledger

__all__ = [
    "SCOPES",
    "Account",
    "Caller",
    "Denied",
    "Exhausted",
    "FaultyKeys",
    "Gate",
    "Key",
    "Keyring",
    "Ledger",
    "Quota",
    "Scope",
    "Standing",
]
