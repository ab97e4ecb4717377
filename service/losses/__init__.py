"""The formula of every loss, in torch, unreduced. Importing a family registers its formulas."""

from service.losses import (
    classification,
    direct,
    embedding,
    multilabel,
    probability,
    ranking,
    regression,
    sequence,
    vocabulary,
)
from service.losses.formula import FORMULAS, Formula, Tensors, Terms

__all__ = [
    "FORMULAS",
    "Formula",
    "Tensors",
    "Terms",
    "classification",
    "direct",
    "embedding",
    "multilabel",
    "probability",
    "ranking",
    "regression",
    "sequence",
    "vocabulary",
]
