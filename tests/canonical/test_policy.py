"""Policy gradient losses are those of TRL 1.10 and of Tinker's documentation.

Formulas are those of trl/trainer/grpo_trainer.py, _compute_loss: masks by multiplication, and its normalisations.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from tests.schemas.refusing import faults

CPU = open_device("cpu")
RNG = np.random.default_rng(20_274)
SHAPE = (6, 11)
NEW = RNG.uniform(-3, 0, SHAPE).astype(np.float32)
OLD = (NEW + RNG.normal(0, 0.3, SHAPE)).astype(np.float32)
REF = (NEW + RNG.normal(0, 0.5, SHAPE)).astype(np.float32)
GAIN = RNG.normal(size=6).astype(np.float32)
MASK = np.arange(11) < np.array([11, 7, 1, 9, 0, 4])[:, None]
SAMPLED = {"log_probs": NEW, "old_log_probs": OLD, "advantages": GAIN, "mask": MASK}
TOKENS = ["importance_sampling_loss", "ppo_clip_loss", "cispo_loss"]
SEQUENCES = ["grpo_loss", "gspo_loss"]


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate({"loss": name, **members})], CPU)[0]


def exact(array: Any) -> Tensor:
    return torch.tensor(np.asarray(array), dtype=torch.float64)


def assert_same(found: LossResult, loss: Tensor, log_probs: Tensor) -> None:
    [expected] = torch.autograd.grad(loss, log_probs)
    np.testing.assert_allclose(found.loss, loss.item(), rtol=1e-6)
    scale = float(expected.abs().max())
    np.testing.assert_allclose(found.gradients["log_probs"], expected.numpy(), rtol=1e-5, atol=1e-6 * scale)


def trl(
    per_token_logps: Tensor,
    loss_type: str,
    level: str = "token",
    low: float = 0.2,
    high: float = 0.2,
    beta: float = 0.0,
    delta: float | None = None,
    constant: float = 0,
) -> Tensor:
    """The loss of GRPOTrainer; `constant` is its max_completion_length, or its num_items_in_batch."""
    mask, advantages = exact(MASK), exact(GAIN).unsqueeze(1)
    log_ratio = per_token_logps - exact(OLD)
    if level == "sequence":
        log_ratio = ((log_ratio * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).unsqueeze(-1)
    coef_1 = torch.exp(log_ratio)
    if loss_type == "cispo":
        per_token_loss = -torch.clamp(coef_1, max=high).detach() * advantages * per_token_logps
    else:
        coef_2 = torch.clamp(coef_1, 1 - low, 1 + high)
        if delta is not None:
            coef_1 = torch.clamp(coef_1, max=delta)
        per_token_loss = -torch.min(coef_1 * advantages, coef_2 * advantages)
    difference = exact(REF) - per_token_logps
    per_token_loss = per_token_loss + beta * (torch.exp(difference) - difference - 1)
    if loss_type == "grpo":
        return ((per_token_loss * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).mean()
    total = (per_token_loss * mask).sum()
    if loss_type == "bnpo":
        return total / mask.sum().clamp(min=1.0)
    return total / (len(GAIN) * constant if loss_type == "dr_grpo" else constant)


@pytest.mark.parametrize("beta", [0.0, 0.04])
@pytest.mark.parametrize("clip", [{}, {"epsilon_high": 0.28}, {"epsilon": 0.1, "epsilon_high": 0.3, "delta": 1.4}])
@pytest.mark.parametrize(
    ("kind", "options", "constant"),
    [
        ("grpo", {}, 0),
        ("bnpo", {}, 0),
        ("dr_grpo", {"max_completion_length": 256}, 256),
        ("dapo", {"num_items_in_batch": 70}, 70),
    ],
)
def test_grpo_is_trls(kind: str, options: dict[str, int], constant: int, clip: dict[str, float], beta: float) -> None:
    log_probs = exact(NEW).requires_grad_()
    low = clip.get("epsilon", 0.2)
    loss = trl(log_probs, kind, "token", low, clip.get("epsilon_high", low), beta, clip.get("delta"), constant)
    reference = {"ref_log_probs": REF, "beta": beta} if beta else {}
    assert_same(answer("grpo_loss", **SAMPLED, **reference, **clip, **options, normalization=kind), loss, log_probs)


def test_dapo_without_a_count_divides_by_its_own_tokens() -> None:
    found, other = (answer("grpo_loss", **SAMPLED, normalization=kind) for kind in ("dapo", "bnpo"))
    assert found.loss == other.loss
    assert found.divisor == MASK.sum()


@pytest.mark.parametrize("beta", [0.0, 0.04])
@pytest.mark.parametrize("wide", [{}, {"epsilon": 0.1, "epsilon_high": 0.05}])
def test_gspo_is_trls_with_ratios_by_sequence(beta: float, wide: dict[str, float]) -> None:
    log_probs = exact(NEW).requires_grad_()
    loss = trl(log_probs, "grpo", "sequence", wide.get("epsilon", 3e-4), wide.get("epsilon_high", 4e-4), beta)
    reference = {"ref_log_probs": REF, "beta": beta} if beta else {}
    assert_same(answer("gspo_loss", **SAMPLED, **reference, **wide), loss, log_probs)


def test_cispo_is_trls() -> None:
    log_probs = exact(NEW).requires_grad_()
    loss = trl(log_probs, "cispo", high=5.0, constant=float(MASK.sum()))
    assert_same(answer("cispo_loss", **SAMPLED), loss, log_probs)
    tight = trl(log_probs, "cispo", high=1.1, constant=float(MASK.sum()))
    assert_same(answer("cispo_loss", **SAMPLED, ratio_high=1.1), tight, log_probs)


@pytest.mark.parametrize("name", TOKENS)
def test_losses_of_one_sequence_are_tinkers_sums(name: str) -> None:
    # Tinker's documentation of its losses: one sequence, an advantage a token, added up.
    target_logprobs, sampling_logprobs = exact(NEW[0]).requires_grad_(), exact(OLD[0])
    advantages = RNG.normal(size=11).astype(np.float32)
    gain = exact(advantages)
    prob_ratio = torch.exp(target_logprobs - sampling_logprobs)
    clipped = torch.clamp(prob_ratio, 0.8, 1.2)
    loss, options = {
        "importance_sampling_loss": (-(prob_ratio * gain).sum(), {}),
        "ppo_clip_loss": (-torch.min(prob_ratio * gain, clipped * gain).sum(), {}),
        "cispo_loss": (-(clipped.detach() * target_logprobs * gain).sum(), {"ratio_low": 0.8, "ratio_high": 1.2}),
    }[name]
    found = answer(name, log_probs=NEW[0], old_log_probs=OLD[0], advantages=advantages, reduction="sum", **options)
    assert_same(found, loss, target_logprobs)


@pytest.mark.parametrize("name", [*TOKENS, *SEQUENCES])
def test_without_old_log_probs_the_gradient_is_that_of_reinforce(name: str) -> None:
    found = answer(name, log_probs=NEW, advantages=GAIN, reduction="sum")
    by_token = np.broadcast_to(-GAIN[:, None], SHAPE) / (11 if name == "gspo_loss" else 1)
    np.testing.assert_allclose(found.gradients["log_probs"], by_token, rtol=1e-6)


@pytest.mark.parametrize("name", [*TOKENS, *SEQUENCES])
def test_what_is_masked_may_be_nan(name: str) -> None:
    members: dict[str, Any] = {**SAMPLED, "advantages": GAIN[:, None] + np.zeros(SHAPE, np.float32)}
    if name in SEQUENCES:
        members["ref_log_probs"] = REF
    if name == "gspo_loss":
        members["advantages"] = GAIN
    spoiled = dict(members)
    for tensor, array in members.items():
        if tensor != "mask" and array.shape == SHAPE:
            spoiled[tensor] = np.where(MASK, array, np.nan).astype(np.float32)
    plain, found = answer(name, **members), answer(name, **spoiled)
    assert found.loss == plain.loss
    np.testing.assert_array_equal(found.gradients["log_probs"], plain.gradients["log_probs"])
    assert not found.gradients["log_probs"][~MASK].any()


@pytest.mark.parametrize("name", ["ppo_clip_loss", "grpo_loss"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_ratio_beyond_the_type_costs_nothing_where_it_is_clipped(name: str, dtype: str) -> None:
    found = answer(
        name, log_probs=[[0.0, -1e4]], old_log_probs=[[-1e4, 0.0]], advantages=[[2.0, -3.0]], dtype=dtype,
        reduction="none",
    )  # fmt: skip
    np.testing.assert_allclose(found.loss, [[-2.0 * 1.2, 3.0 * 0.8]], rtol=1e-6)
    assert found.gradients["log_probs"].tolist() == [[0, 0]]


def test_an_advantage_of_its_sequence_goes_along_the_rows() -> None:
    square = {"log_probs": np.zeros((2, 2)), "advantages": np.array([1.0, 5.0]), "reduction": "none"}
    assert answer("ppo_clip_loss", **square).loss.tolist() == [[-1, -1], [-5, -5]]
    found = answer("ppo_clip_loss", **square, gradients=["advantages"])
    assert found.gradients["advantages"].tolist() == [-2, -2]
    assert list(faults("ppo_clip_loss", log_probs=NEW, advantages=np.zeros(11))) == ["/advantages"]
    assert list(faults("grpo_loss", log_probs=NEW, advantages=np.zeros(11))) == ["/log_probs"]


@pytest.mark.parametrize("kind", ["grpo", "bnpo", "dapo"])
def test_where_no_token_takes_part_mean_is_what_on_empty_says(kind: str) -> None:
    members = {**SAMPLED, "mask": np.zeros(SHAPE, np.bool_), "normalization": kind}
    assert math.isnan(answer("grpo_loss", **members).loss)
    assert answer("grpo_loss", **members, on_empty="zero").loss == 0
    assert list(faults("grpo_loss", **members, on_empty="error")) == ["/on_empty"]
    assert not answer("grpo_loss", **members).gradients["log_probs"].any()


def test_a_part_of_a_batch_without_tokens_adds_nothing_to_it() -> None:
    members = {**SAMPLED, "mask": np.zeros(SHAPE, np.bool_)}
    assert answer("grpo_loss", **members, normalization="dapo", num_items_in_batch=9).loss == 0
    assert answer("grpo_loss", **members, normalization="dr_grpo", max_completion_length=9).loss == 0


@pytest.mark.parametrize(
    ("name", "members", "where"),
    [
        ("grpo_loss", {"normalization": "dr_grpo"}, "/max_completion_length"),
        ("grpo_loss", {"max_completion_length": 8}, "/max_completion_length"),
        ("grpo_loss", {"num_items_in_batch": 8}, "/num_items_in_batch"),
        ("grpo_loss", {"delta": 1.1}, "/delta"),
        ("grpo_loss", {"beta": 0.1}, "/beta"),
        ("gspo_loss", {"beta": 0.1}, "/beta"),
        ("cispo_loss", {"ratio_low": 6.0}, "/ratio_low"),
        ("ppo_clip_loss", {"epsilon": 1.5}, "/epsilon"),
    ],
)
def test_options_that_do_not_go_together_are_refused(name: str, members: dict[str, Any], where: str) -> None:
    assert list(faults(name, **SAMPLED, **members)) == [where]
