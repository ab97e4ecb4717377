"""Contrastive losses: embeddings of what belongs together are near, measured against the others of the batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.check import Checked
from schemas.field import Flags, Floats, Integers
from schemas.layout import Layout, Shapes
from schemas.problem import Fault
from schemas.request import ABSENT, About, LossRequest
from schemas.tensor import Tensor

WIDE = "Computed in float64 whatever the type, and rounded: a cosine's rounding is multiplied by what scales it."
ZERO = "The gradient at a zero vector is huge: its norm is taken as 1e-12, as PyTorch's normalize does."


class InfoNCE(LossRequest):
    """Cross entropy of a query's own key among other keys, by their cosines over a temperature."""

    about = About(
        family="embedding",
        formula=r"\ell_n = -\log \frac{e^{\cos(q_n, k_n) / \tau}}{e^{\cos(q_n, k_n) / \tau} + "
        r"\sum_{j} e^{\cos(q_n, k^-_j) / \tau}}",
        mean="N",
        example={
            "query": [[0.9, 0.1], [0.2, 0.8], [-0.5, 0.4]],
            "positive": [[0.8, 0.3], [0.1, 0.7], [-0.6, 0.2]],
            "temperature": 0.5,
        },
        notes=(
            "Without negative keys, the keys of the other queries are the negatives. With them, they alone are; "
            "in_batch_negatives takes both.",
            "Without normalize, products take the place of cosines.",
            WIDE,
            ZERO,
            "Couples the rows of a request, and is never stacked with others.",
        ),
        source="van den Oord, Li and Vinyals, 2018; in the form of CPC, MoCo and info-nce-pytorch",
    )
    unreduced: ClassVar[str] = "N"
    workspace: ClassVar[int] = 18
    predictions: ClassVar[tuple[str, ...]] = ("query", "positive", "negative")

    loss: Literal["info_nce_loss", "InfoNCE"] = "info_nce_loss"
    negative: Annotated[Tensor, Floats("M D | N M D")] = Field(
        ABSENT, description="Negative keys: the same for all queries, or each query's own."
    )
    query: Annotated[Tensor, Floats("N D")] = Field(description="The queries' embeddings.")
    positive: Annotated[Tensor, Floats("N D")] = Field(description="The key that belongs to each query.")
    temperature: float = Field(0.07, gt=0, description="What similarities are divided by.")
    normalize: bool = Field(True, description="Whether embeddings are brought to length 1 first.")
    in_batch_negatives: bool = Field(
        ABSENT,
        description="Whether the other queries' positive keys are negatives. Left out: where there is no negative.",
    )

    @property
    def in_batch(self) -> bool:
        """Whether the other queries' keys are negatives."""
        own = self.__dict__
        return own["negative"] is None if own["in_batch_negatives"] is None else bool(own["in_batch_negatives"])

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """A similarity for each query and negative."""
        rows = layout.size("N") or 0
        layout.elements += rows * ((layout.size("M") or 0) if "negative" in layout.shapes else rows)

    def layout(self, shapes: Shapes) -> Layout:
        """With negatives of both kinds there are similarities of both."""
        found = super().layout(shapes)
        if self.in_batch and "negative" in found.shapes:
            return replace(found, elements=found.elements + (found.size("N") or 0) ** 2)
        return found

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """There must be negatives of some kind."""
        if not self.in_batch and self.negative is None:
            faults.append(Fault("/in_batch_negatives", "there are no other negatives: send negative, or leave it out"))


class Labelled(LossRequest):
    """What losses have that take an embedding's positives and negatives from labels."""

    unreduced: ClassVar[str] = "N"
    predictions: ClassVar[tuple[str, ...]] = ("embeddings",)

    embeddings: Annotated[Tensor, Floats("N D")] = Field(description="The embeddings; they are brought to length 1.")
    labels: Annotated[Tensor, Integers("N")] = Field(
        description="What each embedding is of: equal labels are positives, others negatives."
    )

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """Every embedding is compared with every other."""
        layout.elements += (layout.size("N") or 0) ** 2


class Positives(Labelled):
    """Those in which embeddings without a positive do not contribute."""

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """An embedding whose label no other has is ignored."""
        _, sizes = np.unique(checked.tensors["labels"], return_counts=True)
        checked.ignored = int(np.count_nonzero(sizes == 1))

    def contributes(self) -> NDArray[np.bool_]:
        """The embeddings that have a positive."""
        _, labels, sizes = np.unique(self.checked.tensors["labels"], return_inverse=True, return_counts=True)
        return np.asarray(sizes[labels] > 1)


class NTXent(Positives):
    """Normalised temperature-scaled cross entropy: each positive pair against all negatives of its anchor."""

    about = About(
        family="embedding",
        formula=r"\ell_a = \sum_{p \in P(a)} -\log \frac{e^{\cos(z_a, z_p) / \tau}}{e^{\cos(z_a, z_p) / \tau} + "
        r"\sum_{n \in N(a)} e^{\cos(z_a, z_n) / \tau}}",
        mean="the number of positive pairs, in both orders",
        example={
            "embeddings": [[0.9, 0.1], [0.2, 0.8], [0.8, 0.3], [0.1, 0.7]],
            "labels": [0, 1, 0, 1],
            "temperature": 0.5,
        },
        notes=(
            "The unreduced loss has each anchor's pairs added up. An anchor without a positive is ignored.",
            "For SimCLR: both views stacked, labels 0 to N - 1 twice.",
            WIDE,
            ZERO,
            "Couples the rows of a request, and is never stacked with others.",
            "Without any positive pair, mean is what on_empty says; pytorch-metric-learning's is 0.",
        ),
        source="pytorch-metric-learning's NTXentLoss; Chen et al., ICML 2020",
    )
    workspace: ClassVar[int] = 26

    loss: Literal["nt_xent_loss", "NTXentLoss"] = "nt_xent_loss"
    temperature: float = Field(0.07, gt=0, description="What cosines are divided by.")

    def mean_divides(self, checked: Checked) -> int | None:
        """The number of positive pairs."""
        _, sizes = np.unique(checked.tensors["labels"], return_counts=True)
        return int((sizes * (sizes - 1)).sum())

    def shares(self) -> NDArray[np.float64]:
        """The positives of each anchor."""
        _, labels, sizes = np.unique(self.checked.tensors["labels"], return_inverse=True, return_counts=True)
        return (sizes[labels] - 1).astype(np.float64)


class SupCon(Positives):
    """Supervised contrastive loss: an anchor's positives, each against all others, on average."""

    about = About(
        family="embedding",
        formula=r"\ell_a = \frac{-1}{|P(a)|} \sum_{p \in P(a)} \log \frac{e^{\cos(z_a, z_p) / \tau}}"
        r"{\sum_{j \ne a} e^{\cos(z_a, z_j) / \tau}}",
        mean="the number of embeddings that have a positive",
        example={
            "embeddings": [[0.9, 0.1], [0.2, 0.8], [0.8, 0.3], [0.1, 0.7]],
            "labels": [0, 1, 0, 1],
            "temperature": 0.5,
        },
        notes=(
            "An anchor without a positive is ignored. pytorch-metric-learning's mean leaves out what is 0, which comes "
            "to the same, but answers 0 for a batch of one class.",
            WIDE,
            ZERO,
            "Couples the rows of a request, and is never stacked with others.",
        ),
        source="pytorch-metric-learning's SupConLoss; Khosla et al., NeurIPS 2020 (L_out)",
    )
    workspace: ClassVar[int] = 18

    loss: Literal["sup_con_loss", "SupConLoss"] = "sup_con_loss"
    temperature: float = Field(0.1, gt=0, description="What cosines are divided by.")


class MultiSimilarity(Labelled):
    """Multi-similarity loss: soft maxima over an anchor's farthest positives and nearest negatives."""

    about = About(
        family="embedding",
        formula=r"\ell_a = \frac1\alpha \log\Bigl(1 + \sum_{p \in P(a)} e^{-\alpha (\cos(z_a, z_p) - \lambda)}\Bigr) + "
        r"\frac1\beta \log\Bigl(1 + \sum_{n \in N(a)} e^{\beta (\cos(z_a, z_n) - \lambda)}\Bigr)",
        mean="N",
        example={
            "embeddings": [[0.9, 0.1], [0.2, 0.8], [0.8, 0.3], [0.1, 0.7]],
            "labels": [0, 1, 0, 1],
            "beta": 10.0,
        },
        notes=(
            "All pairs take part: the mining of the paper is left to the caller.",
            WIDE,
            ZERO,
            "Couples the rows of a request, and is never stacked with others.",
        ),
        source="pytorch-metric-learning's MultiSimilarityLoss; Wang et al., CVPR 2019",
    )
    workspace: ClassVar[int] = 25

    loss: Literal["multi_similarity_loss", "MultiSimilarityLoss"] = "multi_similarity_loss"
    alpha: float = Field(2.0, gt=0, description="How sharply positives count.")
    beta: float = Field(50.0, gt=0, description="How sharply negatives count.")
    base: float = Field(0.5, description="The cosine λ beyond which pairs count little.")


class Contrastive(LossRequest):
    """Distances of pairs that belong together, and hinges below a margin of those that do not."""

    about = About(
        family="embedding",
        formula=r"\ell_n = y\, [d_n - m^+]_+ + (1 - y)\, [m^- - d_n]_+, \quad d_n = \lVert z_n - z'_n \rVert_2",
        mean="N; with average nonzero, the mean over similar pairs that are not 0 and that over others are added up: "
        "divisor is null",
        example={
            "input1": [[1.0, 0.0], [0.6, 0.5]],
            "input2": [[0.8, 0.1], [0.5, 0.4]],
            "target": [1, 0],
        },
        notes=(
            "Margins and the plain hinge are those of pytorch-metric-learning; its mean is average nonzero. squared is "
            "the loss of Hadsell, Chopra and LeCun, who write 0 for similar pairs and 1 for others.",
            "The gradient at a margin, and of equal embeddings, is 0.",
            ZERO,
            "Never stacked with other requests.",
        ),
        source="pytorch-metric-learning's ContrastiveLoss; Hadsell, Chopra and LeCun, CVPR 2006",
    )
    unreduced: ClassVar[str] = "N"
    workspace: ClassVar[int] = 18
    predictions: ClassVar[tuple[str, ...]] = ("input1", "input2")

    loss: Literal["contrastive_loss", "ContrastiveLoss"] = "contrastive_loss"
    input1: Annotated[Tensor, Floats("N D")] = Field(description="First embeddings.")
    input2: Annotated[Tensor, Floats("N D")] = Field(description="Second embeddings.")
    target: Annotated[Tensor, Flags("N")] = Field(description="1: they belong together; 0: they do not.")
    pos_margin: float = Field(0.0, description="The distance up to which being near is enough.")
    neg_margin: float = Field(1.0, description="The distance from which being apart is enough.")
    squared: bool = Field(False, description="Whether half the squares of the hinges are taken.")
    normalize: bool = Field(True, description="Whether embeddings are brought to length 1 first.")
    average: Literal["pairs", "nonzero"] = Field(
        "pairs",
        description="What mean is over: all pairs, or as pytorch-metric-learning has it the pairs whose loss is not 0, "
        "similar and other ones apart.",
    )

    def mean_divides(self, checked: Checked) -> int | None:
        """The number of pairs; two means added up are no quotient."""
        return checked.count if self.average == "pairs" else None

    def contributes(self) -> NDArray[np.bool_] | None:
        """Of two means added up no pair has a share of its own: the divisors are known of all pairs together."""
        return super().contributes() if self.average == "pairs" else None
