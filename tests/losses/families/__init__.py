"""What the generic tests need of each loss, a module a family: how requests are drawn, and what they must be answered.

A module has `BUILDERS`, and for losses that are not torch's own `REFERENCES`, each by the loss's name.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Final

from tests.losses.canonical import Reference
from tests.losses.draw import Draw

BUILDERS: Final[dict[str, Callable[[Draw], dict[str, Any]]]] = {}
"""By the loss's name: what draws its tensors and options. `_` is the shape of the unreduced loss."""
REFERENCES: Final[dict[str, Reference]] = {}
"""By the loss's name: the canonical form of what is not torch's own."""

for _module in pkgutil.iter_modules(__path__):
    _found = importlib.import_module(f"{__name__}.{_module.name}")
    BUILDERS.update(_found.BUILDERS)
    REFERENCES.update(getattr(_found, "REFERENCES", {}))
