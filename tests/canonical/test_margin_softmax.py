"""Margin softmax losses are those of pytorch-metric-learning, with their defaults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from tests.needs import needs_package
from tests.schemas.refusing import elements, faults

CPU = open_device("cpu")
RNG = np.random.default_rng(20_272)
EMBEDDINGS = RNG.normal(size=(20, 8)).astype(np.float32)
CENTRES = RNG.normal(size=(6, 8)).astype(np.float32)
CLASSES = RNG.integers(0, 6, 20)
LIBRARY = [
    ("arc_face_loss", "ArcFaceLoss", {}),
    ("arc_face_loss", "ArcFaceLoss", {"margin": 60.0, "scale": 16.0}),
    ("arc_face_loss", "ArcFaceLoss", {"margin": 120.0, "scale": 16.0}),
    ("cos_face_loss", "CosFaceLoss", {}),
    ("cos_face_loss", "CosFaceLoss", {"margin": 0.1, "scale": 16.0}),
]


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate({"loss": name, **members})], CPU)[0]


@pytest.mark.parametrize(("name", "theirs", "options"), LIBRARY)
def test_losses_and_both_gradients_are_the_librarys(name: str, theirs: str, options: dict[str, float]) -> None:
    library = needs_package("pytorch_metric_learning.losses")
    module = getattr(library, theirs)(num_classes=6, embedding_size=8, **options).double()
    module.W.data = torch.tensor(CENTRES.T, dtype=torch.float64)
    embeddings = torch.tensor(EMBEDDINGS, dtype=torch.float64, requires_grad=True)
    loss = module(embeddings, torch.tensor(CLASSES))
    for_embeddings, for_centres = torch.autograd.grad(loss, [embeddings, module.W])
    found = answer(name, embeddings=EMBEDDINGS, weight=CENTRES, target=CLASSES, **options)
    np.testing.assert_allclose(found.loss, loss.item(), rtol=1e-6)
    for tensor, expected in (("embeddings", for_embeddings.numpy()), ("weight", for_centres.numpy().T)):
        np.testing.assert_allclose(found.gradients[tensor], expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_an_embedding_on_its_centre_has_a_finite_gradient() -> None:
    for sign in (1, -1):
        found = answer("arc_face_loss", embeddings=sign * CENTRES, weight=CENTRES, target=np.arange(6))
        assert np.isfinite(found.loss)
        for gradient in found.gradients.values():
            assert np.isfinite(gradient).all()
            assert np.abs(gradient).max() < 200


@pytest.mark.parametrize("name", ["arc_face_loss", "cos_face_loss"])
def test_a_class_without_a_centre_is_refused(name: str) -> None:
    members = {"embeddings": EMBEDDINGS[:2], "weight": CENTRES}
    assert faults(name, **members, target=[0, 6]) == {"/target/1": "class index 6 is outside [0, 6)"}


def test_cosines_count_as_elements_before_they_are_there() -> None:
    members = {"embeddings": EMBEDDINGS, "weight": CENTRES, "target": CLASSES}
    assert elements("arc_face_loss", **members) == 20 + EMBEDDINGS.size + CENTRES.size + 20 + 20 * 6
