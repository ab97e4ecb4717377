"""The formula of every loss, in torch, unreduced. Importing a family registers its formulas."""

from __future__ import annotations

import importlib
import pkgutil

from service.losses.formula import FORMULAS, Formula, Tensors, Terms

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["FORMULAS", "Formula", "Tensors", "Terms"]
