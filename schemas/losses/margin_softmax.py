"""Margin softmax losses: an embedding's own class centre must win by a margin of angle or cosine."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.field import Floats, Indices
from schemas.layout import Layout
from schemas.losses.contrastive import WIDE, ZERO
from schemas.request import About, LossRequest
from schemas.tensor import Tensor


class MarginSoftmax(LossRequest):
    """What they have in common: scaled cosines of embeddings and class centres are the logits."""

    unreduced: ClassVar[str] = "N"
    workspace: ClassVar[int] = 18
    predictions: ClassVar[tuple[str, ...]] = ("embeddings", "weight")

    embeddings: Annotated[Tensor, Floats("N D")] = Field(description="The embeddings; they are brought to length 1.")
    weight: Annotated[Tensor, Floats("C D")] = Field(description="The class centres; they are brought to length 1.")
    target: Annotated[Tensor, Indices("N")] = Field(description="The true classes.")
    scale: float = Field(64.0, gt=0, description="What cosines are multiplied by.")

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """A cosine for each embedding and class."""
        layout.elements += (layout.size("N") or 0) * (layout.size("C") or 0)


class ArcFace(MarginSoftmax):
    """Additive angular margin: cross entropy with a margin added to the angle to the true class's centre."""

    about = About(
        family="embedding",
        formula=r"\ell_n = -\log \frac{e^{s \cos(\theta_{n,y_n} + m)}}{e^{s \cos(\theta_{n,y_n} + m)} + "
        r"\sum_{c \ne y_n} e^{s \cos \theta_{n,c}}}",
        mean="N",
        example={
            "embeddings": [[0.9, 0.1], [0.2, 0.8]],
            "weight": [[0.8, 0.3], [0.1, 0.7], [-0.5, 0.2]],
            "target": [0, 1],
            "scale": 4.0,
        },
        notes=(
            "The margin is in degrees, as pytorch-metric-learning has it; 28.6 degrees are 0.5 radians.",
            "Beyond an angle of 180 degrees less the margin, cos(theta) - m sin(m) takes the place of cos(theta + m), "
            "so that the loss keeps falling with the cosine.",
            "An embedding exactly on its centre has the gradient of the cosine alone; acos has none there.",
            WIDE,
            ZERO,
            "Never stacked with other requests.",
        ),
        source="pytorch-metric-learning's ArcFaceLoss; Deng et al., CVPR 2019",
    )

    loss: Literal["arc_face_loss", "ArcFaceLoss"] = "arc_face_loss"
    margin: float = Field(28.6, ge=0, le=180, description="The margin, in degrees.")


class CosFace(MarginSoftmax):
    """Large margin cosine loss: cross entropy with a margin taken off the true class's cosine."""

    about = About(
        family="embedding",
        formula=r"\ell_n = -\log \frac{e^{s (\cos \theta_{n,y_n} - m)}}{e^{s (\cos \theta_{n,y_n} - m)} + "
        r"\sum_{c \ne y_n} e^{s \cos \theta_{n,c}}}",
        mean="N",
        example={
            "embeddings": [[0.9, 0.1], [0.2, 0.8]],
            "weight": [[0.8, 0.3], [0.1, 0.7], [-0.5, 0.2]],
            "target": [0, 1],
            "scale": 4.0,
        },
        notes=(WIDE, ZERO, "Never stacked with other requests."),
        source="pytorch-metric-learning's CosFaceLoss; Wang et al., CVPR 2018",
    )

    loss: Literal["cos_face_loss", "CosFaceLoss"] = "cos_face_loss"
    margin: float = Field(0.35, description="The margin, in units of the cosine.")
