"""Stacks that are known to tempt torch's kernels into other last bits: tails, odd rows, misaligned memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from schemas.dtype import FLOATING
from schemas.losses import LOSSES
from schemas.request import LossRequest
from service.compute import compute, open_device
from tests.contract.answers import assert_same, parse

CPU = open_device("cpu")
SEED = 20_240
Arrays = dict[str, Any]

ELEMENTWISE: list[tuple[str, dict[str, Any]]] = [
    ("l1_loss", {}),
    ("mse_loss", {}),
    ("smooth_l1_loss", {"beta": 0.3}),
    ("huber_loss", {"delta": 0.3}),
    ("quantile_loss", {"quantile": 0.3}),
    ("log_cosh_loss", {}),
    ("charbonnier_loss", {}),
    ("wing_loss", {"width": 0.7}),
    *[
        ("tweedie_deviance_loss", {"power": p, "log_input": flag})
        for p in (0.0, 1.0, 1.5, 3.0)
        for flag in (False, True)
    ],
    ("gamma_deviance_loss", {}),
    ("gamma_deviance_loss", {"log_input": True}),
    ("sigmoid_focal_loss", {"gamma": 0.5}),
    ("asymmetric_loss", {}),
    ("asymmetric_loss", {"clip": 0.0, "gamma_pos": 1.5}),
    ("dpo_loss", {}),
    ("dpo_loss", {"loss_type": "robust", "label_smoothing": 0.2}),
    ("kto_loss", {}),
    ("orpo_loss", {}),
    ("simpo_loss", {"label_smoothing": 0.2}),
    ("importance_sampling_loss", {}),
    ("ppo_clip_loss", {}),
    ("cispo_loss", {}),
    ("poisson_nll_loss", {"full": True}),
    ("poisson_nll_loss", {"full": True, "log_input": False}),
    ("gaussian_nll_loss", {"full": True}),
    ("binary_cross_entropy", {}),
    ("binary_cross_entropy_with_logits", {}),
    ("kl_div", {}),
    ("kl_div", {"log_target": True}),
    ("soft_margin_loss", {}),
    ("hinge_embedding_loss", {}),
    ("margin_ranking_loss", {}),
]
_LISTED = {name for name, _ in ELEMENTWISE}
ELEMENTWISE += [(name, {}) for name, cls in LOSSES.items() if cls.stacking == "elements" and name not in _LISTED]
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("nll_loss", {}),
    ("cross_entropy", {"label_smoothing": 0.1}),
    ("focal_loss", {"gamma": 1.5}),
    ("poly1_cross_entropy", {}),
    ("z_loss", {}),
    ("next_token_cross_entropy", {"label_smoothing": 0.1, "z_loss": 1e-2}),
    ("iou_loss", {}),
    ("generalized_box_iou_loss", {}),
    ("distance_box_iou_loss", {}),
    ("complete_box_iou_loss", {}),
    ("multi_margin_loss", {"p": 2}),
    ("multilabel_margin_loss", {}),
    ("multilabel_soft_margin_loss", {}),
    ("coral_loss", {}),
    ("corn_loss", {}),
    ("distillation_kl_loss", {"temperature": 3.0}),
    ("reverse_kl_loss", {}),
    ("generalized_jsd_loss", {"beta": 0.3}),
    ("list_net_loss", {}),
    ("cosine_embedding_loss", {"margin": 0.1}),
    ("triplet_margin_loss", {"p": 3.0, "swap": True}),
    ("triplet_margin_loss", {"p": 2.0}),
    ("triplet_margin_loss", {"p": 1.5}),
    *[
        ("triplet_margin_with_distance_loss", {"distance": d})
        for d in ("euclidean", "manhattan", "chebyshev", "cosine")
    ],
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As the workers compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def name_of(case: Any) -> str:
    return f"{case[0]} {case[1]}" if isinstance(case, tuple) else str(case)


def log_probs(name: str, low: NDArray[Any], spread: NDArray[Any]) -> Arrays:
    """Tensors of a preference or policy loss; `low` is below 0."""
    if name == "kto_loss":
        return {"policy": spread[0], "reference": spread[1], "label": spread[2] > 0, "kl": -low[0]}
    if name in ("importance_sampling_loss", "ppo_clip_loss", "cispo_loss"):
        return {"log_probs": low[0], "old_log_probs": low[1], "advantages": spread[0], "mask": spread[1] > 0}
    pairs = {"policy_chosen": low[0], "policy_rejected": low[1]}
    return pairs | ({"reference_chosen": low[2], "reference_rejected": low[3]} if name == "dpo_loss" else {})


def elements(name: str, size: int, dtype: str, rng: np.random.Generator) -> Arrays:
    """Tensors of an element-wise loss, in its domain."""
    unit = rng.uniform(0.001, 0.999, (4, size)).astype(FLOATING[dtype])
    spread = rng.normal(size=(4, size)).astype(FLOATING[dtype])
    sign = rng.choice([-1.0, 1.0], size).astype(FLOATING[dtype])
    if name == "margin_ranking_loss":
        return {"input1": spread[0], "input2": spread[1], "target": sign}
    if name in ("soft_margin_loss", "hinge_embedding_loss"):
        return {"input": spread[0], "target": sign}
    if name == "gaussian_nll_loss":
        return {"input": spread[0], "target": spread[1], "var": unit[0]}
    if LOSSES[name].about.family in ("preference", "policy"):
        return log_probs(name, -unit, spread)
    if name == "poisson_nll_loss":
        return {"input": unit[0], "target": rng.poisson(3, size).astype(FLOATING[dtype])}
    if name in ("binary_cross_entropy", "kl_div", "tweedie_deviance_loss", "gamma_deviance_loss"):
        return {"input": unit[0], "target": unit[1]}
    return {"input": spread[0], "target": unit[1]}


Rng = np.random.Generator
Floats = NDArray[Any]
"""Three arrays of the shape that is asked for."""


def boxes(floats: Floats, rng: Rng) -> Arrays:
    """Corners in order."""
    corners = np.sort(rng.normal(size=(2, floats.shape[1], 2, 2)), 2).astype(floats.dtype)
    return {"input": corners[0].reshape(-1, 4), "target": corners[1].reshape(-1, 4)}


SPECIAL: list[tuple[tuple[str, ...], Callable[[Floats, Rng], Arrays]]] = [
    (("triplet",), lambda f, _: {"anchor": f[0], "positive": f[1], "negative": f[2]}),
    (("cosine_",), lambda f, rng: {"input1": f[0], "input2": f[1], "target": rng.choice([-1, 1], f.shape[1])}),
    (("z_loss",), lambda f, rng: {"input": f[0], "mask": rng.integers(0, 2, f.shape[1])}),
    (
        ("next_token",),
        lambda f, rng: {"input": np.stack([*f], 1), "target": rng.integers(0, f.shape[2], (f.shape[1], 3))},
    ),
    (("iou_loss", "generalized_box", "distance_box", "complete_box"), boxes),
    (
        ("distillation_kl", "reverse_kl", "generalized_jsd"),
        lambda f, _: {"student_logits": f[0], "teacher_logits": f[1]},
    ),
    (("list_net",), lambda f, _: {"input": f[0], "target": f[1]}),
    (("multilabel_margin",), lambda f, rng: {"input": f[0], "target": rng.integers(-1, f.shape[2], f.shape[1:])}),
    (("multilabel_soft",), lambda f, rng: {"input": f[0], "target": rng.integers(0, 2, f.shape[1:])}),
]
"""By what names begin with; all others have logits and classes."""


def rows(name: str, shape: tuple[int, ...], dtype: str, rng: Rng) -> Arrays:
    """Tensors of a loss by rows; `shape` is that of its first tensor."""
    floats = rng.normal(size=(3, *shape)).astype(FLOATING[dtype])
    for names, make in SPECIAL:
        if name.startswith(names):
            return make(floats, rng)
    return {"input": floats[0], "target": rng.integers(0, shape[1], (shape[0], *shape[2:]))}


def check_one_stack(requests: list[LossRequest], rng: np.random.Generator) -> None:
    """All of them in one batch, shuffled, answer as each does alone."""
    assert len({request.checked.key for request in requests}) == 1, "one key"
    assert requests[0].checked.key is not None
    batch = [requests[at] for at in rng.permutation(len(requests))]
    assert_same(list(compute(batch, CPU)), [compute([request], CPU)[0] for request in batch])


def reductions(at: int) -> dict[str, Any]:
    return {"reduction": ("mean", "none", "sum")[at % 3]}


@pytest.mark.parametrize("case", ELEMENTWISE, ids=name_of)
@pytest.mark.parametrize("dtype", FLOATING)
def test_an_elements_last_bit_does_not_depend_on_its_place(case: tuple[str, Arrays], dtype: str) -> None:
    name, options = case
    rng = np.random.default_rng(SEED)
    requests = [
        parse({"loss": name, **elements(name, size, dtype, rng), **options, **reductions(size)})
        for size in range(1, 131)
    ]
    check_one_stack(requests, rng)


def test_every_loss_by_rows_is_tried() -> None:
    assert {name for name, _ in ROWS} == {name for name, cls in LOSSES.items() if cls.stacking == "rows"}


@pytest.mark.parametrize("case", ROWS, ids=name_of)
@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("width", [1, 3, 10, 17, 64, 100])
def test_a_rows_last_bit_does_not_depend_on_its_place(case: tuple[str, Arrays], dtype: str, width: int) -> None:
    name, options = case
    rng = np.random.default_rng(SEED + width)
    requests = [
        parse({"loss": name, **rows(name, (count, width), dtype, rng), **options, **reductions(count)})
        for count in (1, 2, 3, 7, 8, 31, 32, 33)
    ]
    check_one_stack(requests, rng)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("inner", [(1,), (7,), (33,), (3, 5), (2, 3, 4)])
@pytest.mark.parametrize("kind", ["index", "probabilities"])
def test_log_softmax_over_an_inner_dim_does_not_depend_on_its_place(
    name: str, dtype: str, inner: tuple[int, ...], kind: str
) -> None:
    rng = np.random.default_rng(SEED)
    requests = []
    for count in (1, 2, 3, 5, 9):
        arrays = rows(name, (count, 5, *inner), dtype, rng)
        if kind == "probabilities" and name == "cross_entropy":
            arrays["target"] = rng.uniform(size=(count, 5, *inner)).astype(FLOATING[dtype])
        weight = np.linspace(0.5, 2, 5).astype(FLOATING[dtype])
        requests.append(parse({"loss": name, **arrays, "weight": weight, **reductions(count)}))
    check_one_stack(requests, rng)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("case", [*ELEMENTWISE, *ROWS], ids=name_of)
def test_memory_at_an_odd_address_answers_as_aligned_memory(case: tuple[str, Arrays], dtype: str) -> None:
    name, options = case
    rng = np.random.default_rng(SEED)
    cls = LOSSES[name]
    arrays = elements(name, 192, dtype, rng) if cls.stacking == "elements" else rows(name, (8, 24), dtype, rng)
    aligned = compute([parse({"loss": name, **arrays, **options})], CPU)
    for shift in (1, 2, 8):
        moved = {
            member: np.frombuffer(b"\0" * shift + array.tobytes(), np.uint8)[shift:]
            .view(array.dtype)
            .reshape(array.shape)
            for member, array in arrays.items()
        }
        assert_same(list(compute([parse({"loss": name, **moved, **options})], CPU)), list(aligned))


@pytest.mark.parametrize("dtype", FLOATING)
def test_large_sums_do_not_depend_on_where_they_lie(dtype: str) -> None:
    rng = np.random.default_rng(SEED)
    requests = [
        parse({"loss": "mse_loss", **elements("mse_loss", size, dtype, rng), "reduction": "sum"})
        for size in (4099, 1, 5000, 63, 5461)
    ]
    check_one_stack(requests, rng)
