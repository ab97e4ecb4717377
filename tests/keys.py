"""API keys for tests."""

from __future__ import annotations

from typing import Any, NamedTuple

from service.access import Key
from service.access.keyring import written
from service.access.token import mint


class Held(NamedTuple):
    """A key as its holder has it, and its record."""

    token: str
    record: str

    @property
    def header(self) -> dict[str, str]:
        """What a request bears."""
        return {"authorization": f"Bearer {self.token}"}


def key(name: str, *scopes: str, **members: Any) -> Held:
    """A new key, for computing and reading where nothing else is said."""
    minted = mint()
    made = Key.model_validate(
        {"name": name, "id": minted.id, "sha256": minted.sha256, "scopes": scopes or ("compute", "read"), **members}
    )
    return Held(minted.token, written(made))
