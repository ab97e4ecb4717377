"""Run as a program: the memory that computing takes beside its tensors, and what arithmetic says of it.

`python -m tests.contract.footprints DTYPE NUMBERS` prints a line for each request: its loss, the peak and the bound, in
bytes. The peak of resident memory is the process's own, so that it must be a process of its own (Linux alone).
"""

# ruff: noqa: N806 - sizes have the names that dims have

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.dtype import FLOATING
from schemas.footprint import footprint
from schemas.losses import LOSSES
from service.compute import compute, open_device
from tests.losses.cases import differentiable

Array = NDArray[Any]


def every(n: int, dt: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A request of about so many numbers for every loss; for element-wise ones that are not listed, a plain one."""
    listed = set()
    for name, members in cases(n, dt):
        listed.add(name)
        yield name, members
    rng = np.random.default_rng(0)
    for name, cls in LOSSES.items():
        if name not in listed and cls.stacking == "elements":
            tensors = [tensor for tensor in cls.tensor_fields if cls.model_fields[tensor].is_required()]
            yield name, {tensor: rng.uniform(0.1, 0.9, n).astype(FLOATING[dt]) for tensor in tensors}


def cases(n: int, dt: str) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: C901 - a list, some of it in loops
    """Requests of about so many numbers, in the shapes that take most."""
    f, r = FLOATING[dt], np.random.default_rng(0)

    def F(*s: int) -> Array:  # noqa: N802
        return np.full(s, 0.5).astype(f)

    def R(*s: int) -> Array:  # noqa: N802
        return r.uniform(0.1, 0.9, s).astype(f)

    C = 1000
    N = n // C
    idx = r.integers(0, C, N)
    E = dict
    yield "l1_loss", E(input=R(n), target=F(n), weight=F(n))
    yield "mse_loss", E(input=R(n), target=F(n), weight=F(n))
    yield "mse_loss", E(input=R(n), target=F(n))
    yield "smooth_l1_loss", E(input=R(n), target=F(n))
    yield "huber_loss", E(input=R(n), target=F(n), weight=F(n))
    yield "poisson_nll_loss", E(input=R(n), target=F(n), full=True, log_input=False)
    yield "poisson_nll_loss", E(input=R(n), target=F(n), full=True)
    yield "quantile_loss", E(input=R(n), target=F(n), weight=F(n))
    yield "log_cosh_loss", E(input=R(n), target=F(n))
    yield "charbonnier_loss", E(input=R(n), target=F(n))
    yield "wing_loss", E(input=R(n), target=F(n))
    for power in (0.0, 1.0, 1.5, 2.0):
        for logarithmic in (False, True):
            members = E(power=power, log_input=logarithmic)
            yield "tweedie_deviance_loss", E(input=R(n), target=F(n), weight=F(n), **members)
            yield "tweedie_deviance_loss", E(input=R(n), target=F(n), **members)
    yield "tweedie_deviance_loss", E(input=R(n), target=F(n), power=-1.0)
    yield "gamma_deviance_loss", E(input=R(n), target=F(n))
    yield "sigmoid_focal_loss", E(input=R(n), target=F(n))
    yield "asymmetric_loss", E(input=R(n), target=F(n))
    yield "asymmetric_loss", E(input=R(n), target=F(n), clip=0.0)
    for name in ("iou_loss", "generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss"):
        yield name, E(input=np.sort(R(n // 4, 4)), target=np.sort(R(n // 4, 4)))
    yield "gaussian_nll_loss", E(input=R(n), target=F(n), var=F(n), full=True)
    yield "gaussian_nll_loss", E(input=R(1000, n // 1000), target=F(1, n // 1000), var=F(1000, 1))
    yield "kl_div", E(input=R(n), target=F(n))
    yield "kl_div", E(input=R(n), target=F(n), log_target=True)
    yield "binary_cross_entropy", E(input=R(n), target=F(n), weight=F(1))
    yield "binary_cross_entropy", E(input=R(n), target=F(n))
    yield "binary_cross_entropy_with_logits", E(input=R(n), target=F(n), weight=F(1), pos_weight=F(1))
    yield "binary_cross_entropy_with_logits", E(input=R(n), target=F(n), pos_weight=F(n), weight=F(n))
    yield "cross_entropy", E(input=R(N, C), target=idx)
    yield "cross_entropy", E(input=R(n // 2, 2), target=idx.repeat(C)[: n // 2] % 2, label_smoothing=0.1, weight=F(2))
    yield "cross_entropy", E(input=R(N, C), target=idx, label_smoothing=0.1, weight=F(C))
    yield "cross_entropy", E(input=R(10, C, N // 10), target=idx.reshape(10, N // 10), label_smoothing=0.1)
    yield "cross_entropy", E(input=R(N, C), target=R(N, C), weight=F(C), label_smoothing=0.1)
    yield "cross_entropy", E(input=R(n, 1), target=np.zeros(n, np.int64))
    yield "focal_loss", E(input=R(N, C), target=idx, weight=F(C))
    yield "focal_loss", E(input=R(n, 1), target=np.zeros(n, np.int64), weight=F(1), gamma=1.5)
    yield "poly1_cross_entropy", E(input=R(N, C), target=idx)
    yield "poly1_cross_entropy", E(input=R(n, 1), target=np.zeros(n, np.int64))
    yield "poly1_cross_entropy", E(input=R(N, C), target=R(N, C))
    yield "z_loss", E(input=R(N, C), mask=idx % 2)
    yield "z_loss", E(input=R(n, 1), mask=np.ones(n, np.bool_))
    yield "next_token_cross_entropy", E(input=R(N // 8, 8, C), target=idx.reshape(-1, 8), z_loss=0.1)
    yield (
        "next_token_cross_entropy",
        E(input=R(n, 1), target=np.zeros(n, np.int64), z_loss=0.1, label_smoothing=0.1),
    )
    yield "nll_loss", E(input=R(N, C), target=idx, weight=F(C))
    yield "nll_loss", E(input=R(n, 1), target=np.zeros(n, np.int64), weight=F(1))
    yield "nll_loss", E(input=R(10, C, N // 10), target=idx.reshape(10, N // 10), weight=F(C))
    yield "multi_margin_loss", E(input=R(N, C), target=idx, weight=F(C), p=2)
    yield "multi_margin_loss", E(input=R(n, 1), target=np.zeros(n, np.int64))
    yield "soft_margin_loss", E(input=R(n), target=F(n) * 2)
    yield "multilabel_margin_loss", E(input=R(N, C), target=np.tile(np.arange(C) % 3 - 1, (N, 1)).astype(np.int8))
    yield "multilabel_soft_margin_loss", E(input=R(N, C), target=F(N, C) * 2, weight=F(C))
    yield "multilabel_soft_margin_loss", E(input=R(n, 1), target=F(n, 1) * 2)
    yield "margin_ranking_loss", E(input1=R(n), input2=R(n), target=F(n) * 2)
    yield "hinge_embedding_loss", E(input=R(n), target=F(n) * 2)
    yield "cosine_embedding_loss", E(input1=R(N, C), input2=R(N, C), target=np.ones(N))
    yield "cosine_embedding_loss", E(input1=R(n, 1), input2=R(n, 1), target=np.ones(n))
    yield "triplet_margin_loss", E(anchor=R(N, C), positive=R(N, C), negative=R(N, C), swap=True)
    yield "triplet_margin_loss", E(anchor=R(n, 1), positive=R(n, 1), negative=R(n, 1), swap=True, p=3)
    for d in ("euclidean", "squared_euclidean", "manhattan", "chebyshev", "cosine"):
        yield (
            "triplet_margin_with_distance_loss",
            E(anchor=R(N, C), positive=R(N, C), negative=R(N, C), swap=True, distance=d),
        )
        yield (
            "triplet_margin_with_distance_loss",
            E(anchor=R(n, 1), positive=R(n, 1), negative=R(n, 1), swap=True, distance=d),
        )
    M = int(n**0.5)
    D = 32
    yield "info_nce_loss", E(query=R(M, D), positive=R(M, D))
    yield "info_nce_loss", E(query=R(10, n // 30), positive=R(10, n // 30), negative=R(10, n // 30))
    yield "info_nce_loss", E(query=R(M, D), positive=R(M, D), negative=R(M, D), in_batch_negatives=True)
    yield "info_nce_loss", E(query=R(100, D), positive=R(100, D), negative=R(100, n // 100 // D, D))
    yield "info_nce_loss", E(query=R(100, 1), positive=R(100, 1), negative=R(100, n // 200, 1))
    for labelled in ("nt_xent_loss", "sup_con_loss", "multi_similarity_loss"):
        yield labelled, E(embeddings=R(M, D), labels=r.integers(0, 9, M))
        yield labelled, E(embeddings=R(M, 1), labels=r.integers(0, 9, M))
        yield labelled, E(embeddings=R(10, n // 10), labels=r.integers(0, 3, 10))
    for average in ("pairs", "nonzero"):
        pair = E(target=np.arange(N) % 2, average=average, squared=True)
        yield "contrastive_loss", E(input1=R(N, C), input2=F(N, C), **pair)
        yield "contrastive_loss", E(input1=R(n, 1), input2=F(n, 1), **pair | E(target=np.arange(n) % 2))
    for margin in ("arc_face_loss", "cos_face_loss"):
        yield margin, E(embeddings=R(N, D), weight=R(C, D), target=idx)
        yield margin, E(embeddings=R(n, 1), weight=R(1, 1), target=np.zeros(n, np.int64))
        yield margin, E(embeddings=R(10, n // 20), weight=R(10, n // 20), target=np.arange(10))
    for form in ("sigmoid", "hinge", "ipo", "robust"):
        smoothing = 0.0 if form in ("hinge", "ipo") else 0.1
        references = E(reference_chosen=R(n), reference_rejected=R(n))
        pair = E(policy_chosen=R(n), policy_rejected=R(n), **references)
        yield "dpo_loss", E(**pair, loss_type=form, label_smoothing=smoothing)
    yield "kto_loss", E(policy=R(n), reference=R(n), label=np.ones(n, np.bool_), kl=F(1))
    yield "kto_loss", E(policy=R(n), reference=R(n), label=np.ones(n, np.bool_))
    yield "orpo_loss", E(policy_chosen=-R(n), policy_rejected=-R(n), chosen_nll=F(1))
    yield "orpo_loss", E(policy_chosen=-R(n), policy_rejected=-R(n))
    yield "simpo_loss", E(policy_chosen=R(n), policy_rejected=R(n), label_smoothing=0.1)
    for tokens in ("importance_sampling_loss", "ppo_clip_loss", "cispo_loss", "grpo_loss", "gspo_loss"):
        yield tokens, E(log_probs=R(N, C), advantages=R(N))
        yield tokens, E(log_probs=R(N, C), advantages=R(N), old_log_probs=R(N, C), mask=np.ones((N, C), np.bool_))
        yield tokens, E(log_probs=R(n, 1), advantages=R(n), mask=np.ones((n, 1), np.bool_))
    whole = E(log_probs=R(N, C), old_log_probs=R(N, C), ref_log_probs=R(N, C), mask=np.ones((N, C), np.bool_))
    yield "grpo_loss", E(**whole, advantages=R(N, C))
    yield "grpo_loss", E(**whole, advantages=R(N), normalization="bnpo")
    yield "gspo_loss", E(**whole, advantages=R(N))
    T = 50
    B = n // T // 41 // 5
    yield (
        "ctc_loss",
        E(
            log_probs=R(T, B, 5),
            targets=r.integers(1, 5, (B, 20)),
            input_lengths=np.full(B, T),
            target_lengths=np.full(B, 20),
        ),
    )
    yield (
        "ctc_loss",
        E(
            log_probs=R(n // 40, 1, 40),
            targets=r.integers(1, 5, (1, 2)),
            input_lengths=np.full(1, n // 40),
            target_lengths=np.full(1, 2),
        ),
    )
    yield (
        "linear_cross_entropy",
        E(input=R(N, 32), linear_weight=R(C, 32), target=idx, linear_bias=F(C), label_smoothing=0.1),
    )
    yield "linear_cross_entropy", E(input=R(N, 32), linear_weight=R(C, 32), target=idx, chunk_size=max(1, N // 8))
    yield (
        "linear_cross_entropy",
        E(input=R(100, n // 100), linear_weight=R(100, n // 100), target=idx.repeat(100)[:100] % 100),
    )
    yield "linear_cross_entropy", E(input=R(N, 32), linear_weight=R(C, 32), target=R(N, C))
    yield (
        "linear_cross_entropy",
        E(input=R(10, 16), linear_weight=R(100, n // 1000, 16), target=r.integers(0, 100, (10, n // 1000))),
    )
    huber = "where(abs(x - y) < d, 0.5*(x-y)**2, d*(abs(x-y)-0.5*d))"
    yield "expression", E(expression=f"mean({huber})", tensors=E(x=R(n), y=F(n)), constants=E(d=0.2))
    yield "expression", E(expression="-logsumexp(x * y, dim=-1) / norm(x)", tensors=E(x=R(n // 2, 2), y=F(2)))
    yield "expression", E(expression="sum(x)", tensors=E(x=R(n)))
    yield "expression", E(expression="softplus(clamp(x, 0.2, 0.8) / y) + log_softmax(x, 0)", tensors=E(x=R(n), y=F(n)))
    hard = E(loss="multilabel_soft_margin_loss", input="logits", target="y")
    twice = [hard, hard, E(loss="gaussian_nll_loss", factor=0.5, input="logits", target="y", var="v", full=True)]
    yield "composite", E(tensors=E(logits=R(N, C), y=F(N, C), v=R(N, C)), terms=twice)
    W = 64
    yield (
        "adaptive_log_softmax_with_loss",
        E(
            input=R(N, W),
            target=np.resize(np.arange(0, 1500), N),
            cutoffs=[100, 500],
            head_weight=R(102, W),
            div_value=2.0,
            tail=[{"projection": R(32, W), "output": R(400, 32)}, {"projection": R(16, W), "output": R(1000, 16)}],
        ),
    )
    yield from ranks(n, dt)
    yield from regions(n, dt)


def ranks(n: int, dt: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same for losses of ranks, lists and two models."""
    r, C = np.random.default_rng(0), 1000

    def R(*s: int) -> Array:  # noqa: N802
        return r.uniform(0.1, 0.9, s).astype(FLOATING[dt])

    for shape in ((n // C, C), (n, 1)):
        rank = r.integers(0, shape[1], shape[0])
        yield "coral_loss", {"input": R(*shape), "target": rank, "importance_weights": R(shape[1])}
        yield "coral_loss", {"input": R(*shape), "target": R(*shape), "importance_weights": R(shape[1])}
        yield "corn_loss", {"input": R(*shape), "target": rank}
        for name in ("distillation_kl_loss", "reverse_kl_loss", "generalized_jsd_loss"):
            yield name, {"student_logits": R(*shape), "teacher_logits": R(*shape), "mask": rank % 3 > 0}
        yield "list_net_loss", {"input": R(*shape), "target": R(*shape), "mask": r.random(shape) < 0.5}
    for items in (1, 20, 199):
        shape = (max(n // items // items, 1), items)
        lists = {"input": R(*shape), "target": R(*shape), "mask": r.random(shape) < 0.5}
        yield "rank_net_loss", {**lists, "weighing": "squared_difference"}
        for weighing in ("ndcg_loss1", "ndcg_loss2pp"):
            yield "lambda_rank_loss", {**lists, "weighing": weighing}


def regions(n: int, dt: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same for losses of regions."""
    r = np.random.default_rng(0)
    shapes: list[tuple[int, ...]] = [(10, 40, n // 400), (n // 2, 2), (n, 1)]

    def R(*s: int) -> Array:  # noqa: N802
        return r.uniform(0.1, 0.9, s).astype(FLOATING[dt])

    for name in ("dice_loss", "jaccard_loss", "tversky_loss", "focal_tversky_loss"):
        for shape in shapes:
            classes = r.integers(0, shape[1], (shape[0], *shape[2:]))
            yield name, {"input": R(*shape), "target": classes, "mode": "multiclass", "ignore_index": 0}
            yield name, {"input": R(*shape), "target": R(*shape), "mode": "multilabel", "ignore_index": 0}
        yield name, {"input": R(n), "target": R(n), "mode": "binary", "ignore_index": 0}
    inside = r.integers(0, 2, (10, n // 10))
    yield "lovasz_hinge_loss", {"input": R(10, n // 10), "target": inside, "ignore_index": 2}
    yield "lovasz_hinge_loss", {"input": R(n), "target": inside.reshape(n), "per_image": False}
    for per_image in (False, True):
        for shape in shapes:
            classes = r.integers(0, shape[1], (shape[0], *shape[2:]))
            yield (
                "lovasz_softmax_loss",
                {"input": R(*shape), "target": classes, "ignore_index": 9, "per_image": per_image},
            )


def resident(member: str) -> int:
    """Bytes, from the kernel: `VmRSS` now, `VmHWM` at most."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(member))


HOW: dict[str, dict[str, Any]] = {
    "mean": {"reduction": "mean"},
    "none": {"reduction": "none"},
    "cotangents": {"reduction": "mean", "cotangents": np.ones(3)},
}
"""What the losses are asked for."""


def main(dtype: str, numbers: int) -> None:
    """Measure every request, with all gradients, reduced, not, and with many cotangents.

    Each first of all as a mean, when torch may load its parts.
    """
    libc, device = ctypes.CDLL("libc.so.6"), open_device("cpu")
    for name, members in every(numbers, dtype):
        for how, more in HOW.items():
            asked = {**members, "dtype": dtype, "gradients": differentiable(name, members), **more}
            request = LOSSES[name].model_validate(asked)
            for _ in range(2 if how == "mean" else 1):
                libc.malloc_trim(0)
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
                before = resident("VmRSS")
                compute([request], device)
                peak = resident("VmHWM") - before
            taken = footprint(request)
            sys.stdout.write(f"{name} {how} {peak} {taken.work + taken.answer}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
