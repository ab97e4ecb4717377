"""The corners in which losses are usually got wrong, and what torch 2.13 does there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from schemas.losses import LOSSES
from schemas.problem import InvalidRequest
from schemas.result import LossResult
from service.compute import compute, open_device

CPU = open_device("cpu")
NAN, INF = math.nan, math.inf
LOGITS = [[1.0, 2.0, 0.5], [0.1, -1.0, 3.0]]


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate({"dtype": "float64", **members})], CPU)[0]


def refused(name: str, **members: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        LOSSES[name].model_validate(members)
    return {fault.pointer: fault.detail for fault in caught.value.faults}


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_when_all_targets_are_ignored_mean_is_nan_with_zero_gradients(name: str) -> None:
    members = {"input": LOGITS, "target": [-100, -100]}
    mean = answer(name, **members)
    assert math.isnan(mean.loss)
    assert (mean.divisor, mean.count, mean.ignored) == (0, 0, 2)
    assert not mean.gradients["input"].any()
    assert answer(name, **members, reduction="sum").loss == 0
    assert answer(name, **members, reduction="none").loss.tolist() == [0, 0]
    assert answer(name, **members, on_empty="zero").loss == 0
    assert "/on_empty" in refused(name, **members, on_empty="error")


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_zero_weight_on_every_class_present_is_nan_with_nan_gradients(name: str) -> None:
    for on_empty in ("nan", "zero", "error"):
        found = answer(name, input=LOGITS, target=[0, 0], weight=[0.0, 1.0, 1.0], on_empty=on_empty)
        assert math.isnan(found.loss)
        assert found.count == 2
        assert np.isnan(found.gradients["input"]).any()
    x = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    loss = getattr(F, name)(x, torch.tensor([0, 0]), torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(loss, x)
    np.testing.assert_array_equal(np.isnan(found.gradients["input"]), gradient.isnan().numpy())


def test_weight_smoothing_and_ignore_together() -> None:
    weight, smoothing = np.array([1.0, 2.0, 0.5]), 0.3
    logits = np.array([*LOGITS, [9.0, 9.0, 9.0]])
    logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    kept, y = logp[:2], np.array([2, 1])
    hard = -(weight[y] * kept[[0, 1], y]).sum()
    soft = -(weight * kept).sum()
    expected = ((1 - smoothing) * hard + smoothing / 3 * soft) / weight[y].sum()
    found = answer("cross_entropy", input=logits, target=[2, 1, -100], weight=weight, label_smoothing=smoothing)
    assert found.loss == pytest.approx(expected, rel=1e-12)
    assert (found.divisor, found.count, found.ignored) == (2.5, 2, 1)


def test_a_nan_logit_in_an_ignored_row_stays_there() -> None:
    found = answer("cross_entropy", input=[[NAN, 1.0], [0.5, 1.0]], target=[-100, 1])
    assert math.isfinite(found.loss)
    assert np.isnan(found.gradients["input"][0]).all()
    assert np.isfinite(found.gradients["input"][1]).all()


def test_masked_classes_are_fine_with_indices_and_nan_with_probabilities() -> None:
    masked = np.array([[1.0, -INF, 0.5]])
    index = answer("cross_entropy", input=masked, target=[2])
    assert math.isfinite(index.loss)
    assert np.isfinite(index.gradients["input"]).all()
    assert index.warnings == []
    shares = answer("cross_entropy", input=masked, target=[[0.5, 0.0, 0.5]])
    assert math.isnan(shares.loss)
    assert any("-Infinity" in warning for warning in shares.warnings)


def test_kl_divs_target_gradient_alone_is_nan_at_zero() -> None:
    found = answer("kl_div", input=[-1.0, -0.5], target=[0.0, 1.0], gradients=["input", "target"])
    assert math.isfinite(found.loss)
    assert np.isfinite(found.gradients["input"]).all()
    assert np.isnan(found.gradients["target"]).tolist() == [True, False]


def test_poissons_target_gradient_alone_is_nan_at_zero() -> None:
    found = answer("poisson_nll_loss", input=[0.1, 0.2], target=[0.0, 3.0], full=True, gradients=["input", "target"])
    assert np.isfinite(found.gradients["input"]).all()
    assert np.isnan(found.gradients["target"]).tolist() == [True, False]


@pytest.mark.parametrize("bad", [NAN, -0.1, 1.5, INF])
@pytest.mark.parametrize("member", ["input", "target"])
def test_binary_cross_entropy_refuses_what_is_no_probability(member: str, bad: float) -> None:
    members = {"input": np.array([0.5, 0.5]), "target": np.array([1.0, 0.0])}
    members[member] = np.array([0.5, bad])
    assert list(refused("binary_cross_entropy", **members)) == [f"/{member}/1"]


def test_binary_cross_entropy_clamps_its_logarithm_and_not_its_gradient() -> None:
    found = answer("binary_cross_entropy", input=[0.0], target=[1.0])
    assert found.loss == 100
    assert found.gradients["input"].tolist() == pytest.approx([-1e12], rel=1e-8)  # torch has 1e-12 as a float32


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_binary_cross_entropy_has_a_gradient_at_its_ends(dtype: str) -> None:
    found = answer("binary_cross_entropy", input=[0.0, 1.0, 0.5], target=[0.0, 1.0, 0.5], dtype=dtype)
    assert found.gradients["input"].astype(np.float64).tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["mse_loss", "binary_cross_entropy_with_logits", "soft_margin_loss"])
def test_a_nan_input_goes_through_as_nan(name: str) -> None:
    found = answer(name, input=np.array([NAN, 0.5]), target=[1.0, 1.0], reduction="none")
    assert np.isnan(found.loss).tolist() == [True, False]
    assert np.isnan(found.gradients["input"]).tolist() == [True, False]


def ctc(**members: Any) -> dict[str, Any]:
    frames = np.log(np.full((3, 1, 4), 0.25))
    return {"log_probs": frames, "targets": [[1, 2]], "input_lengths": [3], "target_lengths": [2], **members}


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"targets": [[1, 4]]}, "/targets/0/1"),
        ({"targets": [[-1, 2]]}, "/targets/0/0"),
        ({"targets": [[1, 0]]}, "/targets/0/1"),
        ({"blank": 4}, "/blank"),
        ({"blank": -1}, "/blank"),
        ({"input_lengths": [4]}, "/input_lengths/0"),
        ({"input_lengths": [-1]}, "/input_lengths/0"),
        ({"target_lengths": [3]}, "/target_lengths/0"),
        ({"target_lengths": [-1]}, "/target_lengths/0"),
        ({"targets": [1, 2, 3]}, "/target_lengths"),
        ({"target_lengths": [2, 2]}, "/target_lengths"),
    ],
)
def test_ctc_checks_what_torch_would_read_out_of_bounds(members: dict[str, Any], where: str) -> None:
    assert where in refused("ctc_loss", **ctc(**members))


def test_ctc_padding_may_hold_anything() -> None:
    plain = answer("ctc_loss", **ctc(targets=[[1, 2]]))
    padded = answer("ctc_loss", **ctc(targets=[[1, 2, 99, -7]]))
    assert padded.loss == plain.loss
    assert padded.divisor is None


def test_unbatched_ctc_labels_beyond_the_target_length_are_refused_as_torch_does() -> None:
    frames = np.log(np.full((3, 4), 0.25))
    members = {"log_probs": frames, "targets": [1, 2, 3], "input_lengths": 3, "target_lengths": 2}
    assert refused("ctc_loss", **members) == {"/target_lengths": "sum to 2, but there are 3 labels"}


def test_an_infeasible_ctc_target_is_infinite_unless_told_zero() -> None:
    infeasible = ctc(targets=[[1, 1, 1]], target_lengths=[3])
    found = answer("ctc_loss", **infeasible)
    assert math.isinf(found.loss)
    assert np.isnan(found.gradients["log_probs"]).any()
    zeroed = answer("ctc_loss", **infeasible, zero_infinity=True)
    assert zeroed.loss == 0
    assert not zeroed.gradients["log_probs"].any()


def test_kinks_have_torchs_gradients() -> None:
    assert answer("l1_loss", input=[1.0], target=[1.0]).gradients["input"].tolist() == [0]
    assert answer("hinge_embedding_loss", input=[1.0], target=[-1]).gradients["input"].tolist() == [-1]
    found = answer("multi_margin_loss", input=[[1.0, 0.0]], target=[0])
    assert found.gradients["input"].tolist() == [[0, 0]]


def test_gaussian_variances_below_eps_keep_their_gradient() -> None:
    found = answer("gaussian_nll_loss", input=[1.0], target=[0.0], var=[0.0], eps=0.5, gradients=["var"])
    assert found.gradients["var"].tolist() == [0.5 / 0.5 - 0.5 / 0.25]


def test_margin_losses_over_no_rows_are_nan_and_not_leftover_memory() -> None:
    found = answer("multi_margin_loss", input=np.zeros((0, 3)), target=np.zeros(0, np.int64))
    assert math.isnan(found.loss)
    assert found.gradients["input"].shape == (0, 3)


@pytest.mark.parametrize(
    ("legacy", "reduction"),
    [
        ({"size_average": True}, "mean"),
        ({"size_average": False}, "sum"),
        ({"reduce": True}, "mean"),
        ({"reduce": False}, "none"),
        ({"reduce": False, "size_average": True}, "none"),
        ({"reduce": True, "size_average": False}, "sum"),
        ({"size_average": False, "reduction": "mean"}, "sum"),
    ],
)
def test_deprecated_members_mean_what_torch_makes_of_them(legacy: dict[str, Any], reduction: str) -> None:
    found = answer("mse_loss", input=[1.0, 2.0], target=[0.0, 0.0], **legacy)
    assert found.reduction == reduction
    assert [warning.split()[0] for warning in found.warnings] == [
        name for name in ("size_average", "reduce") if name in legacy
    ]


def test_margin_targets_other_than_signs_are_computed_with_a_warning() -> None:
    found = answer("margin_ranking_loss", input1=[0.0], input2=[1.0], target=[0.5], reduction="none")
    assert found.loss.tolist() == [0.5]
    assert found.warnings == ["target: 1 values are not 1 or -1, the first at /target/0; computed as PyTorch does"]
