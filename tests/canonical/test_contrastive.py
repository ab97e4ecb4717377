"""Contrastive losses are those of pytorch-metric-learning, and InfoNCE is that of info-nce-pytorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from tests.needs import needs_package
from tests.schemas.refusing import elements, faults

CPU = open_device("cpu")
RNG = np.random.default_rng(20_271)
EMBEDDINGS = RNG.normal(size=(24, 16)).astype(np.float32)
OTHERS = RNG.normal(size=(24, 16)).astype(np.float32)
LABELS = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4, 5, 5, 6, 7, 7, 7, 8, 8, 9, 9, 0, 1, 2])


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate({"loss": name, **members})], CPU)[0]


def assert_same(found: LossResult, loss: Tensor, **tensors: Tensor) -> None:
    """The loss and its gradients, of a computation in float64."""
    gradients = torch.autograd.grad(loss, list(tensors.values()))
    np.testing.assert_allclose(found.loss, loss.item(), rtol=1e-6)
    for name, gradient in zip(tensors, gradients, strict=True):
        expected = gradient.numpy()
        np.testing.assert_allclose(found.gradients[name], expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def exact(array: Any) -> Tensor:
    return torch.tensor(np.asarray(array), dtype=torch.float64, requires_grad=True)


LIBRARY = [
    ("nt_xent_loss", "NTXentLoss", {}),
    ("nt_xent_loss", "NTXentLoss", {"temperature": 0.5}),
    ("sup_con_loss", "SupConLoss", {}),
    ("sup_con_loss", "SupConLoss", {"temperature": 0.5}),
    ("multi_similarity_loss", "MultiSimilarityLoss", {}),
    ("multi_similarity_loss", "MultiSimilarityLoss", {"alpha": 1.0, "beta": 40.0, "base": 0.25}),
]


@pytest.mark.parametrize(("name", "theirs", "options"), LIBRARY)
def test_losses_of_labelled_embeddings_are_the_librarys(name: str, theirs: str, options: dict[str, float]) -> None:
    library = needs_package("pytorch_metric_learning.losses")
    embeddings = exact(EMBEDDINGS)
    loss = getattr(library, theirs)(**options)(embeddings, torch.tensor(LABELS))
    found = answer(name, embeddings=EMBEDDINGS, labels=LABELS, **options)
    assert_same(found, loss, embeddings=embeddings)


@pytest.mark.parametrize("options", [{}, {"pos_margin": 0.5, "neg_margin": 1.3}])
@pytest.mark.parametrize("normalize", [True, False])
def test_all_pairs_of_a_batch_give_the_librarys_contrastive_loss(options: dict[str, float], normalize: bool) -> None:
    library = needs_package("pytorch_metric_learning.losses")
    distances = needs_package("pytorch_metric_learning.distances")
    rows = np.array([(i, j) for i in range(len(LABELS)) for j in range(len(LABELS)) if i != j])
    embeddings = exact(EMBEDDINGS)
    distance = distances.LpDistance(normalize_embeddings=normalize)
    loss = library.ContrastiveLoss(**options, distance=distance)(embeddings, torch.tensor(LABELS))
    [expected] = torch.autograd.grad(loss, embeddings)
    found = answer(
        "contrastive_loss",
        input1=EMBEDDINGS[rows[:, 0]],
        input2=EMBEDDINGS[rows[:, 1]],
        target=(LABELS[rows[:, 0]] == LABELS[rows[:, 1]]).astype(np.int64),
        average="nonzero",
        normalize=normalize,
        **options,
    )
    assert found.loss == pytest.approx(loss.item(), rel=1e-6)
    assert found.divisor is None
    gradient = np.zeros(EMBEDDINGS.shape)
    np.add.at(gradient, rows[:, 0], found.gradients["input1"])
    np.add.at(gradient, rows[:, 1], found.gradients["input2"])
    np.testing.assert_allclose(gradient, expected.numpy(), rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


def test_the_squared_contrastive_loss_is_hadsells() -> None:
    # Equation 4 of the paper, whose Y is 0 for similar pairs: (1 - Y) d^2 / 2 + Y max(0, m - d)^2 / 2.
    one, other = np.array([[0.0, 0.0]] * 4), np.array([[3.0, 4.0], [3.0, 4.0], [0.3, 0.4], [0.3, 0.4]])
    found = answer(
        "contrastive_loss", input1=one, input2=other, target=[1, 0, 1, 0], normalize=False, squared=True,
        neg_margin=2.0, reduction="none",
    )  # fmt: skip
    assert found.loss.tolist() == pytest.approx([12.5, 0.0, 0.125, 1.125])


@pytest.mark.parametrize("kind", ["in batch", "for all", "for each", "both"])
def test_info_nce_is_that_of_info_nce_pytorch(kind: str) -> None:
    # info_nce/__init__.py of RElbers/info-nce-pytorch: cross entropy of logits, the positive's place being the target.
    query, positive = exact(EMBEDDINGS), exact(OTHERS)
    shape = (24, 5, 16) if kind == "for each" else (9, 16)
    keys = RNG.normal(size=shape).astype(np.float32)
    negative = exact(keys)
    q, p, n = (F.normalize(x, dim=-1) for x in (query, positive, negative))
    own = (q * p).sum(1, keepdim=True)
    target = torch.zeros(24, dtype=torch.int64)
    tensors = {"query": query, "positive": positive, "negative": negative}
    members: dict[str, Any] = {"query": EMBEDDINGS, "positive": OTHERS, "negative": keys}
    if kind == "in batch":
        logits, target = q @ p.T, torch.arange(24)
        del tensors["negative"], members["negative"]
    elif kind == "for all":
        logits = torch.cat([own, q @ n.T], 1)
    elif kind == "for each":
        logits = torch.cat([own, torch.einsum("nd,nmd->nm", q, n)], 1)
    else:
        logits, target = torch.cat([q @ p.T, q @ n.T], 1), torch.arange(24)
        members["in_batch_negatives"] = True
    assert_same(answer("info_nce_loss", **members), F.cross_entropy(logits / 0.07, target), **tensors)


def test_similarities_of_every_size_have_finite_losses_and_gradients() -> None:
    vectors = np.array([[1e4, 0.0], [-1e4, 1.0], [0.0, 1e4], [1.0, -1e4]])
    found = answer("info_nce_loss", query=vectors, positive=-vectors, normalize=False, temperature=0.01)
    assert np.isfinite(found.loss)
    assert all(np.isfinite(gradient).all() for gradient in found.gradients.values())
    for name in ("nt_xent_loss", "sup_con_loss", "multi_similarity_loss"):
        for dtype in ("float32", "float16"):
            labelled = answer(name, embeddings=vectors, labels=[0, 1, 0, 2], dtype=dtype)
            assert np.isfinite(labelled.loss)
            assert np.isfinite(labelled.gradients["embeddings"]).all()


@pytest.mark.parametrize("name", ["nt_xent_loss", "sup_con_loss"])
def test_an_embedding_without_a_positive_is_ignored(name: str) -> None:
    found = answer(name, embeddings=EMBEDDINGS[:4], labels=[0, 1, 1, 2], reduction="none")
    assert (found.count, found.ignored) == (2, 2)
    assert found.loss[[0, 3]].tolist() == [0, 0]
    alone = {"embeddings": EMBEDDINGS[:3], "labels": [0, 1, 2]}
    assert math.isnan(answer(name, **alone).loss)
    assert answer(name, **alone, on_empty="zero").loss == 0
    assert faults(name, **alone, on_empty="error") == {
        "/on_empty": "nothing contributes to the mean, and on_empty is error"
    }
    assert not answer(name, **alone).gradients["embeddings"].any()


def test_supervised_contrast_within_one_class_is_its_formula() -> None:
    # Three equal embeddings: each positive is one of two alike, so that its probability is 1/2.
    found = answer("sup_con_loss", embeddings=np.ones((3, 2)), labels=[5, 5, 5])
    assert found.loss == pytest.approx(math.log(2))


def test_info_nce_without_any_negatives_is_refused() -> None:
    members = {"query": EMBEDDINGS, "positive": OTHERS}
    assert list(faults("info_nce_loss", **members, in_batch_negatives=False)) == ["/in_batch_negatives"]


def test_similarities_count_as_elements_before_they_are_there() -> None:
    query = {"query": EMBEDDINGS, "positive": OTHERS}
    in_batch = elements("info_nce_loss", **query)
    assert in_batch == 24 + 2 * EMBEDDINGS.size + 24 * 24
    keys = np.zeros((9, 16), np.float32)
    beside = 24 + 2 * EMBEDDINGS.size + keys.size
    assert elements("info_nce_loss", **query, negative=keys) == beside + 24 * 9
    assert elements("info_nce_loss", **query, negative=keys, in_batch_negatives=True) == beside + 24 * 9 + 24 * 24
    assert elements("sup_con_loss", embeddings=EMBEDDINGS, labels=LABELS) == 24 + EMBEDDINGS.size + 24 + 24 * 24
