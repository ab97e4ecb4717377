"""The function of every operation. Importing a module registers its functions."""

from __future__ import annotations

import importlib
import pkgutil

from service.compute.operations.register import FUNCTIONS

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["FUNCTIONS"]
