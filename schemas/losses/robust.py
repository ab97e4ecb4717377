"""Regression losses that outliers, quantiles or positive targets ask for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.losses.regression import ElementwiseRegression
from schemas.request import About


class Quantile(ElementwiseRegression):
    """The pinball loss: its minimum is the q-quantile of the targets."""

    about = About(
        family="regression",
        formula=r"\ell = \max\bigl(q\,(y - x),\, (q - 1)\,(y - x)\bigr)",
        mean="the number of elements",
        example={"input": [0.5, -1.0, 2.0], "target": [0.0, -1.5, 4.0], "quantile": 0.9},
        notes=(
            "q = 1/2 is half the absolute error.",
            "At x = y the gradient is (1 - 2q) / 2: both sides are equal there, and share it.",
        ),
        source="Koenker and Bassett, Econometrica 1978; scikit-learn's mean_pinball_loss",
    )
    loss: Literal["quantile_loss", "PinballLoss"] = "quantile_loss"
    quantile: float = Field(0.5, gt=0, lt=1, description="The quantile q that is predicted.")
