"""Regression losses that outliers, quantiles or positive targets ask for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from schemas.check import Checked
from schemas.losses.regression import ElementwiseRegression, WeightedRegression
from schemas.problem import Fault
from schemas.request import About
from schemas.values import check_not_negative, check_positive


class Quantile(WeightedRegression):
    """The pinball loss: its minimum is the q-quantile of the targets."""

    about = About(
        family="regression",
        formula=r"\ell = w \max\bigl(q\,(y - x),\, (q - 1)\,(y - x)\bigr)",
        mean="the number of elements; with weights, their sum",
        example={"input": [0.5, -1.0, 2.0], "target": [0.0, -1.5, 4.0], "quantile": 0.9},
        notes=(
            "q = 1/2 is half the absolute error.",
            "At x = y the gradient is (1 - 2q) / 2: both sides are equal there, and share it.",
        ),
        source="Koenker and Bassett, Econometrica 1978; scikit-learn's mean_pinball_loss",
    )
    loss: Literal["quantile_loss", "PinballLoss"] = "quantile_loss"
    quantile: float = Field(0.5, gt=0, lt=1, description="The quantile q that is predicted.")


class LogCosh(ElementwiseRegression):
    """The logarithm of the error's hyperbolic cosine: squared for small errors, absolute for large ones, smooth."""

    about = About(
        family="regression",
        formula=r"\ell = \log\cosh(x - y) = \operatorname{softplus}(-2\,(x - y)) + (x - y) - \log 2",
        mean="the number of elements",
        example={"input": [0.5, -1.0, 2.0], "target": [0.0, -1.5, 4.0]},
        notes=(
            "About e^2 / 2 for a small error e, and |e| - log 2 for a large one; the gradient is tanh(e).",
            "Small errors are computed as log(1 + 2 sinh^2(e / 2)), which does not cancel.",
        ),
        source="Chen et al. 2019; optax.losses.log_cosh",
    )
    workspace: ClassVar[int] = 9

    loss: Literal["log_cosh_loss", "LogCoshLoss"] = "log_cosh_loss"


class Charbonnier(ElementwiseRegression):
    """A smooth absolute error: the root of the squared error and a small constant."""

    about = About(
        family="regression",
        formula=r"\ell = \sqrt{(x - y)^2 + \epsilon^2}",
        mean="the number of elements",
        example={"input": [0.5, -1.0, 2.0], "target": [0.0, -1.5, 4.0]},
        notes=(
            "The loss at x = y is eps, and the gradient there 0.",
            "kornia's charbonnier_loss is this with eps = 1, less 1; the L1 loss is its limit for eps to 0.",
        ),
        source="Charbonnier et al., ICIP 1994; Lai et al., CVPR 2017 (eps 1e-3)",
    )
    loss: Literal["charbonnier_loss", "CharbonnierLoss"] = "charbonnier_loss"
    eps: float = Field(1e-3, gt=0, description="The error below which the loss is rounded off.")


class Cauchy(ElementwiseRegression):
    """Logarithmic for large errors: an outlier's gradient fades, the further off it is."""

    about = About(
        family="regression",
        formula=r"\ell = \log\bigl(1 + \tfrac12 ((x - y) / c)^2\bigr)",
        mean="the number of elements",
        example={"input": [0.5, -1.0, 2.0], "target": [0.0, -1.5, 4.0], "scale": 1.0},
        notes=(
            "Also called the Lorentzian loss. The gradient is steepest at an error of sqrt(2) c.",
            "With c = 1 it is kornia's cauchy_loss.",
        ),
        source="Black and Anandan, CVIU 1996; Barron, CVPR 2019 (alpha = 0); kornia",
    )
    workspace: ClassVar[int] = 8

    loss: Literal["cauchy_loss", "CauchyLoss"] = "cauchy_loss"
    scale: float = Field(1.0, gt=0, description="The error c from which on it is no longer nearly squared.")


class Wing(ElementwiseRegression):
    """Logarithmic for small errors, which it thereby amplifies, and absolute for large ones; made for landmarks."""

    about = About(
        family="regression",
        formula=r"\ell = \begin{cases} w \log(1 + |x - y| / c) & |x - y| < w \\ "
        r"|x - y| - w + w \log(1 + w / c) & \text{else} \end{cases}",
        mean="the number of elements",
        example={"input": [0.5, -1.0, 12.0], "target": [0.0, -1.5, 4.0]},
        notes=(
            "The slope is width / (curvature + width) just below an error of width, and 1 from there on. The gradient "
            "at x = y is 0.",
        ),
        source="Feng et al., CVPR 2018 (w is width, its epsilon curvature)",
    )
    workspace: ClassVar[int] = 7

    loss: Literal["wing_loss", "WingLoss"] = "wing_loss"
    width: float = Field(5.0, gt=0, description="The error w at which the absolute part starts.")
    curvature: float = Field(0.5, gt=0, description="The constant c that bends the logarithmic part.")


LOG_INPUT = "With log_input, input is the logarithm of the mean, of any sign: the stable form behind a log link."


class Deviance(WeightedRegression):
    """What deviances have: a predicted mean, or its logarithm, and the domains of an exponential dispersion model."""

    workspace: ClassVar[int] = 16

    log_input: bool = Field(False, description="Whether input is the logarithm of the predicted mean.")

    @abstractmethod
    def variance_power(self) -> float:
        """The power p of the mean that the variance is proportional to."""

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Means are positive unless p is 0; observations not negative from p = 1 on, positive from p = 2 on."""
        power = self.variance_power()
        if power != 0 and not self.log_input:
            check_positive("input", checked.tensors["input"], faults)
        if power >= 2:
            check_positive("target", checked.tensors["target"], faults)
        elif power >= 1:
            check_not_negative("target", checked.tensors["target"], faults)


def _of_some_tweedie_model(power: float) -> float:
    if 0 < power < 1:
        raise PydanticCustomError("power", "no Tweedie distribution has a power between 0 and 1")
    return power


class TweedieDeviance(Deviance):
    """Deviance of targets under a Tweedie distribution with the predicted mean, whose variance is its power."""

    about = About(
        family="regression",
        formula=r"\ell = 2w \left(\frac{\max(y, 0)^{2-p}}{(1-p)(2-p)} - \frac{y\,\mu^{1-p}}{1-p} "
        r"+ \frac{\mu^{2-p}}{2-p}\right), \quad \mu = x \text{ or, with log\_input, } e^x",
        mean="the number of elements; with weights, their sum",
        example={"input": [0.5, 1.0, 2.0], "target": [0.2, 1.5, 4.0], "power": 1.5},
        notes=(
            "power 0 is the squared error, 1 the Poisson deviance 2(y log(y/m) - y + m), 2 the gamma deviance "
            "2(log(m/y) + y/m - 1), 3 the inverse Gaussian one; between 1 and 2 lie compound Poisson distributions. "
            "Powers between 0 and 1 are refused: no such distribution is there.",
            "input must be positive unless power is 0 or log_input is true. target may be any number for powers up to "
            "0, must not be negative from 1 on, and positive from 2 on; as in scikit-learn, anything else is refused.",
            LOG_INPUT,
            "The gradient in target at 0 is -Infinity for powers from 1 to below 2.",
        ),
        source="scikit-learn's mean_tweedie_deviance",
    )
    varied: ClassVar[Mapping[str, tuple[Any, ...]]] = {"power": (1.0, 1.5, 2.0, 3.0, -1.0)}

    loss: Literal["tweedie_deviance_loss", "mean_tweedie_deviance"] = "tweedie_deviance_loss"
    power: Annotated[float, AfterValidator(_of_some_tweedie_model)] = Field(
        0.0, description="The power p of the mean that the variance is proportional to: at most 0, or at least 1."
    )

    def variance_power(self) -> float:
        """As asked."""
        return self.power


class GammaDeviance(Deviance):
    """Deviance of positive targets under a gamma distribution with the predicted mean: relative errors count."""

    about = About(
        family="regression",
        formula=r"\ell = 2w \left(\log\frac{\mu}{y} + \frac{y}{\mu} - 1\right), \quad "
        r"\mu = x \text{ or, with log\_input, } e^x",
        mean="the number of elements; with weights, their sum",
        example={"input": [0.5, 1.0, 2.0], "target": [0.2, 1.5, 4.0]},
        notes=(
            "The Tweedie deviance with power 2: input and target times a number give the same loss.",
            "target must be positive, and input too unless log_input is true; anything else is refused.",
            LOG_INPUT,
        ),
        source="scikit-learn's mean_gamma_deviance",
    )
    loss: Literal["gamma_deviance_loss", "mean_gamma_deviance"] = "gamma_deviance_loss"

    def variance_power(self) -> float:
        """The gamma distribution's."""
        return 2.0
