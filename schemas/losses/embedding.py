"""Losses on embeddings: what should be near is near, what should be apart is apart."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from schemas.check import Checked
from schemas.field import Floats, Signs
from schemas.problem import Fault
from schemas.request import About, LossRequest, Stacking
from schemas.tensor import Tensor


class HingeEmbedding(LossRequest):
    """Distances themselves where the target is 1, their hinge below a margin where it is -1."""

    about = About(
        family="embedding",
        formula=r"\ell = \begin{cases} x & y = 1 \\ \max(0,\, m - x) & y = -1 \end{cases}",
        mean="the number of elements",
        example={"input": [0.3, 1.4, 0.2], "target": [1, -1, -1]},
    )
    unreduced: ClassVar[str] = "*D"
    stacking: ClassVar[Stacking] = "elements"

    loss: Literal["hinge_embedding_loss", "HingeEmbeddingLoss"] = "hinge_embedding_loss"
    input: Annotated[Tensor, Floats("*D")] = Field(description="Distances.")
    target: Annotated[Tensor, Signs("*D")] = Field(description="1: should be near; -1: should be apart.")
    margin: float = Field(1.0, description="The distance from which being apart is enough.")


class CosineEmbedding(LossRequest):
    """One minus the cosine of two vectors where the target is 1, its hinge above a margin where it is -1."""

    about = About(
        family="embedding",
        formula=r"\ell_n = \begin{cases} 1 - \cos(x_1, x_2) & y = 1 \\ "
        r"\max(0,\, \cos(x_1, x_2) - m) & y = -1 \end{cases}",
        mean="N",
        example={"input1": [[1.0, 0.0], [0.5, 0.5]], "input2": [[0.8, 0.1], [-0.5, 0.4]], "target": [1, -1]},
        notes=("The gradient at a zero vector is huge, as in PyTorch.",),
    )
    unreduced: ClassVar[str] = "() | N"
    stacking: ClassVar[Stacking] = "rows"
    workspace: ClassVar[int] = 7
    predictions: ClassVar[tuple[str, ...]] = ("input1", "input2")

    loss: Literal["cosine_embedding_loss", "CosineEmbeddingLoss"] = "cosine_embedding_loss"
    input1: Annotated[Tensor, Floats("D | N D")] = Field(description="First vectors.")
    input2: Annotated[Tensor, Floats("D | N D")] = Field(description="Second vectors.")
    target: Annotated[Tensor, Signs("() | N")] = Field(description="1: should be alike; -1: should not.")
    margin: float = Field(0.0, description="The cosine up to which not being alike is enough.")


class Triplets(LossRequest):
    """What triplet losses have: three tensors of one shape, whose last dim is the vector."""

    unreduced: ClassVar[str] = "*B"
    stacking: ClassVar[Stacking] = "rows"
    workspace: ClassVar[int] = 11
    predictions: ClassVar[tuple[str, ...]] = ("anchor", "positive", "negative")

    anchor: Annotated[Tensor, Floats("*B D")] = Field(description="Anchors.")
    positive: Annotated[Tensor, Floats("*B D")] = Field(description="What the anchors should be near.")
    negative: Annotated[Tensor, Floats("*B D")] = Field(description="What they should be apart from.")
    margin: float = Field(1.0, gt=0, description="How much nearer the positive should be.")
    swap: bool = Field(
        False, description="Use the positive's distance to the negative instead of the anchor's where it is smaller."
    )

    def needs_a_greatest(self) -> bool:
        """Whether the distance is the greatest of the differences, of which there must be one."""
        return False

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """A vector without elements has no greatest one."""
        if self.needs_a_greatest() and checked.layout.size("D") == 0:
            faults.append(Fault("/anchor", "vectors without elements have no greatest difference"))


def _infinity(value: Any) -> Any:
    return math.inf if isinstance(value, str) and value == "Infinity" else value


class TripletMargin(Triplets):
    """An anchor should be a margin nearer to its positive than to its negative, in a p-norm."""

    about = About(
        family="embedding",
        formula=r"\ell_n = \max(0,\, d(a, p) - d(a, n) + m), \quad d(u, v) = \lVert u - v + \epsilon \rVert_p",
        mean="the number of triplets",
        example={"anchor": [[0.1, 0.2]], "positive": [[0.2, 0.1]], "negative": [[0.9, 0.4]]},
        notes=("All three tensors have one shape; the last dim is the vector.", 'p may be "Infinity".'),
    )

    loss: Literal["triplet_margin_loss", "TripletMarginLoss"] = "triplet_margin_loss"
    p: Annotated[float, BeforeValidator(_infinity, json_schema_input_type=float)] = Field(
        2.0, allow_inf_nan=True, description='The degree of the norm; "Infinity" for the greatest difference.'
    )
    eps: float = Field(1e-6, description="Added to each difference.")

    def needs_a_greatest(self) -> bool:
        """In the norm of infinite degree."""
        return math.isinf(self.p)


class TripletMarginWithDistance(Triplets):
    """The triplet margin loss with a distance of your choice."""

    about = About(
        family="embedding",
        formula=r"\ell_n = \max(0,\, m + d(a, p) - d(a, n))",
        mean="the number of triplets",
        example={
            "anchor": [[0.1, 0.2]],
            "positive": [[0.2, 0.1]],
            "negative": [[0.9, 0.4]],
            "distance": "cosine",
        },
        notes=(
            "euclidean is PyTorch's default, its pairwise distance with eps 1e-6; squared_euclidean and manhattan are "
            "plain sums over the last dim; chebyshev the greatest difference; cosine one minus the cosine similarity.",
        ),
    )

    loss: Literal["triplet_margin_with_distance_loss", "TripletMarginWithDistanceLoss"] = (
        "triplet_margin_with_distance_loss"
    )
    distance: Literal["euclidean", "squared_euclidean", "manhattan", "chebyshev", "cosine"] = Field(
        "euclidean", description="The distance, by name."
    )

    def needs_a_greatest(self) -> bool:
        """In the Chebyshev distance."""
        return self.distance == "chebyshev"
