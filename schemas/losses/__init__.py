"""Every loss's contract, one class each. Importing a family is all it takes to be in the catalogue."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Annotated, Any, Final, Union

from pydantic import Field, TypeAdapter

from schemas.request import LossRequest

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def _classes(base: type[LossRequest]) -> list[type[LossRequest]]:
    """All classes below that are losses, in the order of their definition."""
    found = []
    for cls in base.__subclasses__():
        if "loss" in cls.model_fields:
            found.append(cls)
        found.extend(_classes(cls))
    return found


LOSSES: Final[dict[str, type[LossRequest]]] = {cls.name: cls for cls in _classes(LossRequest)}
"""Every loss's class, by its canonical name."""

ALIASES: Final[dict[str, str]] = {alias: name for name, cls in LOSSES.items() for alias in cls.aliases}
"""Canonical names by alias (the names of `torch.nn`)."""

AnyLossRequest = Annotated[Union[tuple(LOSSES.values())], Field(discriminator="loss")]  # type: ignore[valid-type] # noqa: UP007 - made of the catalogue
ANY_LOSS: Final[TypeAdapter[Any]] = TypeAdapter(AnyLossRequest)  # type: ignore[arg-type] # likewise


def resolve(name: str) -> type[LossRequest] | None:
    """The class of a loss by its name or alias."""
    return LOSSES.get(ALIASES.get(name, name))


__all__ = ["ALIASES", "ANY_LOSS", "LOSSES", "AnyLossRequest", "resolve"]
