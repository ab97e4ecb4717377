"""Every operation's contract, one class each. Importing a module is all it takes to be served."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Final

from schemas.operation import Operation

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def _classes(base: type[Operation]) -> list[type[Operation]]:
    """All classes below that are operations, in the order of their definition."""
    found = []
    for cls in base.__subclasses__():
        if "path" in cls.__dict__:
            found.append(cls)
        found.extend(_classes(cls))
    return found


OPERATIONS: Final[dict[str, type[Operation]]] = {cls.name: cls for cls in _classes(Operation)}
"""Every operation's class, by its name."""

__all__ = ["OPERATIONS"]
