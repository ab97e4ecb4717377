"""Regression losses: predictions against numbers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.check import Checked
from schemas.dims import Shape, broadcasts
from schemas.field import Floats
from schemas.problem import Fault
from schemas.request import ABSENT, About, LossRequest, Predicted, Stacking
from schemas.tensor import Tensor
from schemas.values import check_not_negative

SAME_SHAPE = "PyTorch only warns when input and target differ in shape, and broadcasts them; here that is refused."


class ElementwiseRegression(LossRequest):
    """What all of them have: an input and a target of one shape."""

    unreduced: ClassVar[str] = "*D"
    stacking: ClassVar[Stacking] = "elements"
    predicts: ClassVar[Predicted | None] = "values"

    input: Annotated[Tensor, Floats("*D")] = Field(description="Predictions.")
    target: Annotated[Tensor, Floats("*D")] = Field(description="What they should be.")


class WeightedRegression(ElementwiseRegression):
    """Those whose mean divides by the sum of weights."""

    weight: Annotated[Tensor, Floats("*D")] = Field(ABSENT, description="A factor for each element.")

    def mean_divides(self, checked: Checked) -> int | None:
        """The number of elements, or with weights their sum."""
        return None if "weight" in checked.tensors else checked.count


class L1(WeightedRegression):
    """Absolute error."""

    about = About(
        family="regression",
        formula=r"\ell = w\,|x - y|",
        mean="the number of elements; with weights, their sum",
        example={"input": [0.5, -1.0, 2.0], "target": [0.0, -1.5, 4.0]},
        notes=(SAME_SHAPE, "The gradient at x = y is 0."),
    )
    loss: Literal["l1_loss", "L1Loss"] = "l1_loss"


class MSE(WeightedRegression):
    """Squared error."""

    about = About(
        family="regression",
        formula=r"\ell = w\,(x - y)^2",
        mean="the number of elements; with weights, their sum",
        example={"input": [0.5, -1.0, 2.0], "target": [0.0, -1.5, 4.0]},
        notes=(SAME_SHAPE,),
    )
    loss: Literal["mse_loss", "MSELoss"] = "mse_loss"


class SmoothL1(ElementwiseRegression):
    """Squared for errors below beta, absolute above, scaled to meet with slope 1."""

    about = About(
        family="regression",
        formula=r"\ell = \begin{cases} (x-y)^2 / 2\beta & |x-y| < \beta \\ |x-y| - \beta/2 & \text{else} \end{cases}",
        mean="the number of elements",
        example={"input": [0.5, -1.0, 2.0], "target": [0.0, -1.5, 4.0], "beta": 1.0},
        notes=(SAME_SHAPE, "beta = 0 is the L1 loss. Equals the Huber loss with delta = beta, divided by beta."),
    )
    loss: Literal["smooth_l1_loss", "SmoothL1Loss"] = "smooth_l1_loss"
    beta: float = Field(1.0, ge=0, description="The error at which the squared part ends.")


class Huber(ElementwiseRegression):
    """Squared for small errors, linear for large ones."""

    about = About(
        family="regression",
        formula=r"\ell = w \begin{cases} (x-y)^2 / 2 & |x-y| < \delta \\ "
        r"\delta\,(|x-y| - \delta/2) & \text{else} \end{cases}",
        mean="the number of elements, also with weights",
        example={"input": [0.5, -1.0, 2.0], "target": [0.0, -1.5, 4.0], "delta": 1.0},
        notes=(SAME_SHAPE,),
    )
    loss: Literal["huber_loss", "HuberLoss"] = "huber_loss"
    weight: Annotated[Tensor, Floats("*D")] = Field(ABSENT, description="A factor for each element.")
    delta: float = Field(1.0, gt=0, description="The error at which the linear part starts.")


class PoissonNLL(ElementwiseRegression):
    """Negative log likelihood of counts under a Poisson distribution, without its constant unless `full`."""

    about = About(
        family="regression",
        formula=r"\ell = e^{x} - y\,x \quad\text{or, for rates, } x - y \log(x + \epsilon)",
        mean="the number of elements",
        example={"input": [0.1, 1.2, -0.3], "target": [1.0, 4.0, 0.0]},
        notes=(
            "full adds Stirling's approximation y log y - y + log(2 pi y) / 2 where y > 1.",
            "With full, the gradient in target is NaN where target is 0, as in PyTorch.",
            "float16 and bfloat16 are computed in float32 and rounded: in float16 the default eps would be 0.",
        ),
    )
    workspace: ClassVar[int] = 9

    loss: Literal["poisson_nll_loss", "PoissonNLLLoss"] = "poisson_nll_loss"
    log_input: bool = Field(True, description="Whether input is the logarithm of the rate, or the rate itself.")
    full: bool = Field(False, description="Whether to add Stirling's approximation of log(y!).")
    eps: float = Field(1e-8, ge=0, description="Added to the rate before its logarithm is taken (log_input false).")


class GaussianNLL(LossRequest):
    """Negative log likelihood of targets under Gaussians with predicted mean and variance."""

    about = About(
        family="regression",
        formula=r"\ell = \tfrac12\left(\log\max(v, \epsilon) + \frac{(x-y)^2}{\max(v, \epsilon)}\right)",
        mean="the number of elements of input",
        example={"input": [[0.5, -1.0], [2.0, 0.1]], "target": [[0.0, -1.5], [4.0, 0.0]], "var": [[1.0], [0.5]]},
        notes=(
            "var may have the input's shape, one dim of size 1 instead of another, one dim fewer (the last), or be a "
            "number. target may have dims of size 1.",
            "The clamp of var at eps is invisible to the gradient, as in PyTorch.",
            "A negative var is refused.",
        ),
    )
    unreduced: ClassVar[str] = "*D"
    stacking: ClassVar[Stacking] = "elements"
    predicts: ClassVar[Predicted | None] = "values"

    loss: Literal["gaussian_nll_loss", "GaussianNLLLoss"] = "gaussian_nll_loss"
    input: Annotated[Tensor, Floats("*D")] = Field(description="Predicted means.")
    target: Annotated[Tensor, Floats("*D", broadcast=True)] = Field(description="Observations.")
    var: Annotated[Tensor, Floats("*D", broadcast=True)] = Field(description="Predicted variances, not negative.")
    full: bool = Field(False, description="Whether to add the constant log(2 pi) / 2.")
    eps: float = Field(1e-6, gt=0, description="The least variance.")

    @classmethod
    def spread(cls, name: str, shape: Shape, to: Shape) -> Shape | None:
        """target: the same number of dims; var: as torch takes it."""
        if name == "target":
            return shape if len(shape) == len(to) and broadcasts(shape, to) else None
        if shape in (to, ()):
            return shape
        if shape == to[:-1]:
            return (*shape, 1)
        differing = [size for size, other in zip(shape, to, strict=False) if size != other]
        return shape if len(shape) == len(to) and differing == [1] else None

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """No variance is negative."""
        check_not_negative("var", checked.tensors["var"], faults)
