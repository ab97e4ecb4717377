"""Robust and positive regression losses are those of scikit-learn, optax and their papers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from tests.needs import needs_package

CPU = open_device("cpu")
RNG = np.random.default_rng(20_264)
X, Y = (RNG.normal(0, 3, 200).astype(np.float32) for _ in range(2))
MEANS, POSITIVE = (RNG.uniform(0.1, 5, 200).astype(np.float32) for _ in range(2))
WEIGHT = RNG.uniform(0.1, 2, 200).astype(np.float32)


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate(members)], CPU)[0]


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_quantile_loss_is_scikit_learns_mean_pinball_loss(quantile: float, weight: NDArray[Any] | None) -> None:
    metrics = needs_package("sklearn.metrics")
    given = {} if weight is None else {"weight": weight}
    found = answer("quantile_loss", input=X, target=Y, quantile=quantile, **given)
    expected = metrics.mean_pinball_loss(Y, X, alpha=quantile, sample_weight=weight)
    assert found.loss == pytest.approx(expected, rel=1e-6)
    assert found.divisor == pytest.approx(200 if weight is None else weight.sum())


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("power", [-2.0, -0.5, 0.0, 1.0, 1.2, 1.5, 1.9, 2.0, 2.5, 3.0, 4.5])
def test_tweedie_deviance_loss_is_scikit_learns(power: float, weight: NDArray[Any] | None) -> None:
    metrics = needs_package("sklearn.metrics")
    y = Y if power <= 0 else POSITIVE * (RNG.random(200) > 0.2) if power < 2 else POSITIVE
    means = X if power == 0 else MEANS
    given = {} if weight is None else {"weight": weight}
    found = answer("tweedie_deviance_loss", input=means, target=y, power=power, **given)
    expected = metrics.mean_tweedie_deviance(
        y.astype(np.float64), means.astype(np.float64), sample_weight=weight, power=power
    )
    assert found.loss == pytest.approx(expected, rel=1e-6)
    if power != 0:
        logarithmic = answer(
            "tweedie_deviance_loss", input=np.log(means), target=y, power=power, log_input=True, **given
        )
        assert logarithmic.loss == pytest.approx(expected, rel=3e-6)  # the logarithms themselves are rounded


def test_gamma_deviance_loss_is_scikit_learns() -> None:
    metrics = needs_package("sklearn.metrics")
    found = answer("gamma_deviance_loss", input=MEANS, target=POSITIVE, weight=WEIGHT)
    expected = metrics.mean_gamma_deviance(POSITIVE, MEANS, sample_weight=WEIGHT)
    assert found.loss == pytest.approx(expected, rel=1e-6)


def test_tweedie_deviance_loss_has_scikit_learns_published_figure() -> None:
    found = answer("tweedie_deviance_loss", input=[0.5, 0.5, 2.0, 2.0], target=[2, 0, 1, 4], power=1.0)
    assert found.loss == pytest.approx(1.4260, abs=5e-5)  # its documentation's example


def test_log_cosh_loss_is_optaxs() -> None:
    losses = needs_package("optax.losses")
    found = answer("log_cosh_loss", input=X, target=Y, reduction="none")
    np.testing.assert_allclose(found.loss, losses.log_cosh(X, Y), rtol=1e-6, atol=2e-7)  # optax's cancels near 0


def test_log_cosh_loss_is_right_for_errors_tiny_and_huge() -> None:
    found = answer("log_cosh_loss", input=np.array([1e-4, -1e-6, 1e4, -3e38], np.float32), target=[0.0] * 4,
                   reduction="none")  # fmt: skip
    np.testing.assert_allclose(found.loss, [5e-9, 5e-13, 1e4 - math.log(2), 3e38], rtol=1e-6)
    np.testing.assert_allclose(found.gradients["input"], [1e-4, -1e-6, 1, -1], rtol=1e-6)


@pytest.mark.parametrize("eps", [1e-3, 1.0])
def test_charbonnier_loss_is_its_papers(eps: float) -> None:
    found = answer("charbonnier_loss", input=X, target=Y, eps=eps, reduction="none")
    exact = X.astype(np.float64) - Y
    np.testing.assert_allclose(found.loss, np.sqrt(exact**2 + eps**2), rtol=1e-6)


def test_charbonnier_loss_with_eps_1_is_kornias_and_1() -> None:
    found = answer("charbonnier_loss", input=X, target=Y, eps=1.0)
    kornia = (np.sqrt((X.astype(np.float64) - Y) ** 2 + 1) - 1).mean()  # kornia/losses/charbonnier.py
    assert found.loss == pytest.approx(kornia + 1, rel=1e-6)


def test_charbonnier_loss_holds_where_squares_do_not() -> None:
    found = answer("charbonnier_loss", input=np.array([1e30, 0.0], np.float32), target=[0.0, 0.0], eps=1e-30,
                   reduction="none")  # fmt: skip
    np.testing.assert_allclose(found.loss, [1e30, 1e-30], rtol=1e-6)
    np.testing.assert_allclose(found.gradients["input"], [1, 0])


def test_wing_loss_is_its_papers() -> None:
    width, curvature = 5.0, 0.5  # Feng et al., equation 5
    size = np.abs(3 * X.astype(np.float64) - Y)
    constant = width - width * np.log(1 + width / curvature)
    expected = np.where(size < width, width * np.log(1 + size / curvature), size - constant)
    found = answer("wing_loss", input=3 * X, target=Y, reduction="none")
    np.testing.assert_allclose(found.loss, expected, rtol=2e-6)
    assert (size < width).any()
    assert (size > width).any()


def test_cauchy_loss_is_kornias() -> None:
    """kornia.losses.cauchy_loss (kornia/losses/cauchy.py): log(0.5 d^2 + 1)."""
    found = answer("cauchy_loss", input=X, target=Y, reduction="none")
    np.testing.assert_allclose(found.loss, np.log(0.5 * (X - Y) ** 2 + 1), rtol=1e-6, atol=1e-7)


def test_cauchy_loss_is_right_for_errors_tiny_and_huge() -> None:
    found = answer("cauchy_loss", input=np.array([1e-4, 1e30], np.float32), target=[0.0] * 2, reduction="none")
    np.testing.assert_allclose(found.loss, [5e-9, 60 * math.log(10) - math.log(2)], rtol=1e-6)
    np.testing.assert_allclose(found.gradients["input"], [1e-4, 2e-30], rtol=1e-6)
