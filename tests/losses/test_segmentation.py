"""Where segmentation losses are usually got wrong: modes, absent classes, ignored pixels, far logits, ties."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from tests.losses.test_where_it_hurts import refused

CPU = open_device("cpu")
NAN = math.nan
OVERLAPS = ["dice_loss", "jaccard_loss", "tversky_loss", "focal_tversky_loss"]
LOGITS = np.random.default_rng(1).normal(size=(2, 3, 4))
CLASSES = [[0, 1, 1, 0], [1, 1, 0, 0]]


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate(members)], CPU)[0]


@pytest.mark.parametrize("name", OVERLAPS)
@pytest.mark.parametrize(
    ("per", "shape", "binary"),
    [("class", (3,), ()), ("image", (2,), (2,)), ("image_class", (2, 3), (2,)), ("all", (), ())],
)
def test_per_shapes_the_unreduced_loss(name: str, per: str, shape: tuple[int, ...], binary: tuple[int, ...]) -> None:
    members = {"per": per, "reduction": "none"}
    assert answer(name, input=LOGITS, target=CLASSES, mode="multiclass", **members).loss.shape == shape
    inside = (LOGITS > 0).astype(np.int64)
    assert answer(name, input=LOGITS, target=inside, mode="multilabel", **members).loss.shape == shape
    assert answer(name, input=LOGITS, target=inside, mode="binary", **members).loss.shape == binary
    assert answer(name, input=LOGITS[:, 0, 0], target=[0, 1], mode="binary", **members).loss.shape == binary


@pytest.mark.parametrize("name", OVERLAPS)
@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({}, "/mode"),
        ({"mode": "binary"}, "/target"),
        ({"mode": "multilabel"}, "/target"),
        ({"mode": "multiclass", "input": [0.5, 1.0], "target": [1, 0]}, "/input"),
        ({"mode": "multiclass", "target": [[0, 3, 1, 0], [1, 1, 0, 0]]}, "/target/0/1"),
        ({"mode": "multiclass", "target": LOGITS.clip(0, 1), "ignore_index": 255}, "/ignore_index"),
        ({"mode": "multilabel", "target": np.full((2, 3, 4), 1.5)}, "/target/0/0/0"),
        ({"mode": "multilabel", "target": np.full((2, 3, 4), NAN)}, "/target/0/0/0"),
        ({"mode": "multiclass", "from_logits": False, "input": np.full((2, 3, 4), 1.25)}, "/input/0/0/0"),
        ({"mode": "multiclass", "smooth": -1.0}, "/smooth"),
        ({"mode": "multiclass", "eps": 0.0}, "/eps"),
        ({"mode": "multiclass", "absent": "skip", "on_empty": "error", "target": CLASSES, "ignore_index": 0}, None),
    ],
)
def test_what_does_not_go_with_the_mode_is_refused(name: str, members: dict[str, Any], where: str | None) -> None:
    asked = {"input": LOGITS, "target": CLASSES, **members}
    if where is None:
        assert answer(name, **asked).ignored == 2
    else:
        assert where in refused(name, **asked)


def test_a_mean_over_no_class_at_all_is_what_on_empty_says() -> None:
    members = {"input": LOGITS, "target": np.zeros((2, 3, 4)), "mode": "multilabel", "absent": "skip"}
    found = answer("dice_loss", **members)
    assert math.isnan(found.loss)
    assert (found.divisor, found.count, found.ignored) == (0, 0, 3)
    assert not found.gradients["input"].any()
    assert answer("dice_loss", **members, on_empty="zero").loss == 0
    assert "/on_empty" in refused("dice_loss", **members, on_empty="error")


def test_an_absent_class_counts_as_0_is_skipped_or_scored() -> None:
    members = {"input": LOGITS, "target": CLASSES, "mode": "multiclass"}
    each = answer("dice_loss", **members, reduction="none", absent="score").loss
    assert each[2] == 1
    assert answer("dice_loss", **members).loss == pytest.approx((each[0] + each[1]) / 3, rel=1e-6)
    skipped = answer("dice_loss", **members, absent="skip")
    assert skipped.loss == pytest.approx((each[0] + each[1]) / 2, rel=1e-6)
    assert (skipped.divisor, skipped.count, skipped.ignored) == (2, 2, 1)
    assert answer("dice_loss", **members, absent="score").loss == pytest.approx(each.mean(), rel=1e-6)


@pytest.mark.parametrize("name", [*OVERLAPS, "lovasz_softmax_loss"])
def test_an_ignored_pixel_may_hold_anything(name: str) -> None:
    mode = {"mode": "multiclass"} if name in OVERLAPS else {}
    kept = answer(name, input=LOGITS[:, :, :3], target=[[0, 1, 1], [1, 1, 0]], **mode)
    spoiled = LOGITS.copy()
    spoiled[:, :, 3] = NAN
    found = answer(name, input=spoiled, target=[[0, 1, 1, 9], [1, 1, 0, 9]], ignore_index=9, **mode)
    assert found.loss == pytest.approx(kept.loss, rel=1e-12)
    np.testing.assert_allclose(found.gradients["input"][:, :, :3], kept.gradients["input"], rtol=1e-12)
    assert not found.gradients["input"][:, :, 3].any()


@pytest.mark.parametrize("name", OVERLAPS)
@pytest.mark.parametrize("mode", ["multiclass", "multilabel"])
def test_far_logits_have_finite_losses_and_gradients(name: str, mode: str) -> None:
    right = np.where(np.arange(2)[:, None] == np.array([0, 1, 1]), 1e4, -1e4)[None]
    truth = (right > 0).astype(np.int64)
    found = answer(name, input=right, target=truth, mode=mode)
    assert found.loss == 0
    assert not found.gradients["input"].any()
    for log_loss in (False, True):
        wrong = answer(name, input=-right, target=truth, mode=mode, log_loss=log_loss)
        assert math.isfinite(wrong.loss)
        assert wrong.loss >= 1
        assert np.isfinite(wrong.gradients["input"]).all()


def test_small_losses_keep_their_digits() -> None:
    # One false positive of probability p beside a million true pixels: p / (2e6 + p), far below one rounding of 1.
    p, many = 1e-3, 1_000_000
    target = np.append(np.ones(many, np.float32), 0.0)
    members = {"input": np.append(np.ones(many), p).astype(np.float32), "target": target.astype(np.float32)}
    found = answer("dice_loss", **members, mode="binary", from_logits=False)
    assert found.loss == pytest.approx(np.float32(p) / (2 * many), rel=1e-6)


def test_lovasz_hinge_refuses_targets_that_are_neither() -> None:
    members = {"input": [[0.5, 1.0]], "target": [[1, 2]]}
    assert refused("lovasz_hinge_loss", **members) == {"/target/0/1": "2.0 is neither 0 nor 1"}
    assert answer("lovasz_hinge_loss", **members, ignore_index=2).loss == 0.5


def test_lovasz_softmax_refuses_what_is_no_probability() -> None:
    members = {"input": [[[0.5, 1.5]]], "target": [[0, 0]], "from_logits": False}
    assert refused("lovasz_softmax_loss", **members) == {"/input/0/0/1": "1.5 is not in [0, 1]"}


def test_an_image_without_a_pixel_that_counts_is_0_for_the_hinge_and_ignored_for_the_softmax() -> None:
    hinge = answer("lovasz_hinge_loss", input=[[0.5], [2.0]], target=[[0], [7]], ignore_index=7, reduction="none")
    assert hinge.loss.tolist() == [1.5, 0]
    members = {"input": LOGITS, "target": [[7, 7, 7, 7], [1, 1, 0, 0]], "ignore_index": 7, "per_image": True}
    softmax = answer("lovasz_softmax_loss", **members)
    assert (softmax.divisor, softmax.count, softmax.ignored) == (1, 1, 1)
    assert softmax.loss == pytest.approx(answer("lovasz_softmax_loss", input=LOGITS[1:], target=[[1, 1, 0, 0]]).loss)


def test_of_equal_errors_the_earlier_pixel_is_first() -> None:
    found = answer("lovasz_hinge_loss", input=[[0.0, 0.0, 0.0]], target=[[1, 0, 0]])
    assert found.gradients["input"].tolist() == [[-1, 0, 0]]
    found = answer("lovasz_hinge_loss", input=[[0.0, 0.0, 0.0]], target=[[0, 0, 1]])
    np.testing.assert_allclose(found.gradients["input"], [[1 / 2, 1 / 6, -1 / 3]], rtol=1e-6)


def test_lovasz_slopes_are_right_over_many_pixels() -> None:
    # All errors 1, so that the slopes sum to the whole Jaccard loss, 1; each of them is far below a rounding of 1.
    many = 400_000
    target = np.arange(many) % 2
    found = answer("lovasz_hinge_loss", input=np.zeros((1, many), np.float32), target=target[None])
    assert found.loss == pytest.approx(1, rel=1e-6)
    slopes = -found.gradients["input"][0] * (2 * target - 1)
    positives = many // 2
    # After a pixel of either kind, u - 1 of them being outside: 1/u for a true one, i / (u (u - 1)) for another.
    at = many - 2
    union = positives + at // 2 + 1
    left = positives - at // 2
    assert target[at] == 0
    assert slopes[at] == pytest.approx(left / union / (union - 1), rel=1e-5)
