"""Ranking losses over whole lists: the items of a query, their scores and how relevant they are."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.check import Checked
from schemas.dims import numel
from schemas.field import Floats, Mask
from schemas.layout import Layout
from schemas.problem import Fault
from schemas.request import ABSENT, About, Int64, LossRequest, Stacking
from schemas.tensor import Tensor
from schemas.values import position

EXAMPLE = {"input": [[1.2, 0.3, -0.5], [0.1, 0.9, 0.4]], "target": [[2, 0, 1], [0, 1, 3]]}
PADDING = "Items that the mask leaves out may hold anything, NaN too; their gradient is 0."
MOST_RELEVANT = 100
"""Relevance whose gain, 2 to its power, is a float32 still where a list adds it up."""


class Listwise(LossRequest):
    """What losses over lists have: scores and relevances, a list a row, and a mask of the items that are there."""

    unreduced: ClassVar[str] = "N"
    stacking: ClassVar[Stacking] = "rows"

    input: Annotated[Tensor, Floats("N L")] = Field(description="The score of each item, a list a row.")
    target: Annotated[Tensor, Floats("N L")] = Field(description="How relevant each item is.")
    mask: Annotated[Tensor, Mask("N L")] = Field(
        ABSENT, description="Which items there are: 0 where a list is padded to the length of the others."
    )

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Relevances that count are numbers; lists that nothing can be learnt from are ignored."""
        target, mask = checked.tensors["target"].astype(np.float64), checked.tensors.get("mask")
        odd = self.refused(target)
        if mask is not None:
            odd &= mask
        if odd.any():
            where, value = position("target", target, odd)
            faults.append(Fault(where, f"{value} is no relevance: {self.relevances()}"))
        else:
            checked.ignored = int((~self.contributing(checked, target, mask)).sum())

    def contributes(self) -> NDArray[np.bool_]:
        """The lists that something can be learnt from."""
        tensors = self.checked.tensors
        return self.contributing(self.checked, tensors["target"].astype(np.float64), tensors.get("mask"))

    def refused(self, target: NDArray[Any]) -> NDArray[np.bool_]:
        """Where a relevance is none."""
        return np.asarray(~np.isfinite(target))

    def relevances(self) -> str:
        """What relevances are."""
        return "they are finite numbers"

    @abstractmethod
    def contributing(self, checked: Checked, target: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Which lists say anything."""


class ListNet(Listwise):
    """Cross entropy of two softmaxes over a list: of its relevances, and of its scores (ListNet, top one)."""

    about = About(
        family="ranking",
        formula=r"\ell_n = -\sum_i \operatorname{softmax}(y_n)_i \log \operatorname{softmax}(x_n)_i",
        mean="the number of lists, without those that have no item",
        example=EXAMPLE,
        notes=(
            PADDING,
            "The logarithm is that of softmax itself; allRank adds 1e-10 to its argument, which stops its gradient "
            "where a score is far below the others.",
        ),
        source="Cao et al., ICML 2007; allRank's listNet",
    )
    workspace: ClassVar[int] = 8

    loss: Literal["list_net_loss", "ListNetLoss"] = "list_net_loss"

    def contributing(self, checked: Checked, target: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Those with an item."""
        return np.ones(target.shape[:-1], np.bool_) if mask is None else np.asarray(mask.any(axis=-1))

    def mean_divides(self, checked: Checked) -> int | None:
        """The lists; with a mask, those with an item."""
        return None if "mask" in checked.tensors else checked.count


class Pairwise(Listwise):
    """What losses over pairs of a list's items have."""

    stacking: ClassVar[Stacking] = "alone"  # rows that are padded would be lists of pairs
    workspace: ClassVar[int] = 26

    target: Annotated[Tensor, Floats("N L", differentiable="never")] = Field(description="How relevant each item is.")
    sigma: float = Field(1.0, gt=0, description="The factor of score differences before the sigmoid.")

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """The pairs count."""
        items = layout.size("L")
        if items is not None:
            layout.elements += numel(layout.unreduced) * items * items

    def mean_divides(self, checked: Checked) -> int | None:
        """The pairs."""
        return None

    def contributing(self, checked: Checked, target: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Those with two items of different relevance among the ones that are looked at."""
        seen = self.seen(checked, mask)
        if not target.shape[-1]:
            return np.zeros(target.shape[:-1], np.bool_)
        highest = np.where(seen, target, -np.inf).max(axis=-1)
        return np.asarray(highest > np.where(seen, target, np.inf).min(axis=-1))

    def seen(self, checked: Checked, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """The items that pairs are made of."""
        return np.ones(checked.tensors["target"].shape, np.bool_) if mask is None else mask


class RankNet(Pairwise):
    """Logistic loss of every pair of which one item is more relevant than the other (RankNet)."""

    about = About(
        family="ranking",
        formula=r"\ell_n = \sum_{y_i > y_j} w_{ij} \log\bigl(1 + e^{-\sigma (x_i - x_j)}\bigr)",
        mean="the number of pairs with y_i > y_j, over all lists, whatever their weights",
        example=EXAMPLE,
        notes=(PADDING, "Lists without such a pair are counted as ignored."),
        source="Burges et al., ICML 2005; allRank's rankNet",
    )

    loss: Literal["rank_net_loss", "RankNetLoss"] = "rank_net_loss"
    weighing: Literal["none", "difference", "squared_difference"] = Field(
        "none",
        description="The weight of a pair: 1, the difference of its relevances, or that of their squares, as a "
        "magnitude.",
    )


class LambdaRank(Pairwise):
    """Pairwise logistic loss, each pair weighed by what exchanging its items does to NDCG (LambdaLoss)."""

    about = About(
        family="ranking",
        formula=r"\ell_n = \sum_{y_i > y_j} w_{ij} \log_2\bigl(1 + e^{-\sigma (x_i - x_j)}\bigr), \quad "
        r"w_{ij} = \Bigl|\tfrac1{D_i} - \tfrac1{D_j}\Bigr|\, |G_i - G_j|,\ "
        r"G_i = \frac{2^{y_i} - 1}{\mathrm{maxDCG}},\ D_i = \log_2(1 + \mathrm{rank}_i)",
        mean="the number of pairs, over all lists, whatever their weights",
        example=EXAMPLE,
        notes=(
            PADDING,
            "Ranks are those of the scores, the highest first; of equal scores the earlier item is first. The weights "
            "have no gradient.",
            "weighing: lambda_rank is the formula's; ndcg_loss2 has |1/D_d - 1/D_(d+1)| |G_i - G_j|, d the distance of "
            "the ranks; ndcg_loss2pp mu times that plus lambda_rank's; none has 1. ndcg_loss1 has G_i / D_i over all "
            "pairs, whichever is more relevant, of an item with itself too.",
            "k keeps the pairs whose items both have a rank up to k, and truncates maxDCG.",
            "allRank sums by default; reduction sum does. It clamps probabilities at 1e-10, which stops the gradient "
            "where a pair is far out of order: here it goes on.",
            "Lists whose items with a rank up to k are all equally relevant are counted as ignored.",
        ),
        source="Wang et al., CIKM 2018; Burges, MSR-TR-2010-82; allRank's lambdaLoss",
    )
    workspace: ClassVar[int] = 26

    loss: Literal["lambda_rank_loss", "LambdaRankLoss"] = "lambda_rank_loss"
    weighing: Literal["lambda_rank", "ndcg_loss1", "ndcg_loss2", "ndcg_loss2pp", "none"] = Field(
        "lambda_rank", description="The weights of the pairs."
    )
    k: Int64 = Field(ABSENT, ge=1, description="The rank after which items do not count; left out, all do.")
    mu: float = Field(10.0, ge=0, description="What ndcg_loss2pp multiplies ndcg_loss2's weights by.")
    logarithm: Literal["binary", "natural"] = Field("binary", description="The logarithm's base: 2, or e.")

    def refused(self, target: NDArray[Any]) -> NDArray[np.bool_]:
        """A gain is 2 to the power of a relevance."""
        return ~((target >= 0) & (target <= MOST_RELEVANT))

    def relevances(self) -> str:
        """What gains can be made of."""
        return f"they are in [0, {MOST_RELEVANT}]"

    def seen(self, checked: Checked, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """The items that are there, with a rank up to k."""
        there = super().seen(checked, mask)
        if self.k is None:
            return there
        scores = np.where(there, checked.tensors["input"].astype(np.float64), -np.inf)
        first = np.argsort(-scores, axis=-1, kind="stable")[..., : self.k]
        ranked = np.zeros(there.shape, np.bool_)
        np.put_along_axis(ranked, first, np.take_along_axis(there, first, axis=-1), axis=-1)
        return ranked

    def contributing(self, checked: Checked, target: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Under ndcg_loss1 an item makes a pair with itself."""
        if self.weighing == "ndcg_loss1":
            return np.asarray(self.seen(checked, mask).any(axis=-1))
        return super().contributing(checked, target, mask)
