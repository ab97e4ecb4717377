"""Stacking: where each request lies, what pads it, and what all of them share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from schemas.losses import LOSSES
from schemas.request import LossRequest
from service.compute import compute, open_device
from service.compute.stack import stack
from service.losses.lanes import LANE

BCE = LOSSES["binary_cross_entropy_with_logits"]
CE = LOSSES["cross_entropy"]
SOFT = LOSSES["multilabel_soft_margin_loss"]


def mse(*sizes: tuple[int, ...]) -> list[LossRequest]:
    made = []
    for at, size in enumerate(sizes):
        array = np.full(size, at + 1, np.float32)
        made.append(LOSSES["mse_loss"].model_validate({"input": array, "target": array}))
    return made


@pytest.mark.parametrize("size", [1, 63, 64, 65, 130])
def test_an_elementwise_segment_fills_whole_lanes_alone_too(size: int) -> None:
    found = stack(mse((size,)), pads=False)
    (segment,) = found.segments
    assert (segment.start, segment.stop) == (0, size)
    assert found.values == (math.ceil(size / LANE) * LANE,)
    assert found.arrays["input"].tolist() == [1] * size + [0] * (found.values[0] - size)


def test_elementwise_segments_of_any_shape_lie_behind_each_other_in_lanes() -> None:
    found = stack(mse((3,), (2, 40), (), (64,)), pads=False)
    assert [(segment.start, segment.stop) for segment in found.segments] == [(0, 3), (64, 144), (192, 193), (256, 320)]
    assert found.values == (320,)
    for at, (_, start, stop) in enumerate(found.segments):
        assert set(found.arrays["input"][start:stop].tolist()) == {at + 1}
    assert found.arrays["input"].sum() == 3 + 2 * 80 + 3 + 4 * 64


def test_a_request_that_fills_its_lanes_is_not_copied() -> None:
    (request,) = mse((2, 64))
    assert np.shares_memory(stack([request], pads=False).arrays["input"], request.checked.tensors["input"])


def test_what_broadcasts_is_expanded_to_the_loss() -> None:
    ones = np.ones((2, 3), np.float32)
    weight = np.array([1, 2, 3], np.float32)
    found = stack([BCE.model_validate({"input": ones, "target": ones, "pos_weight": weight})], pads=False)
    assert found.arrays["pos_weight"][:6].tolist() == [1, 2, 3, 1, 2, 3]


def test_rows_lie_behind_each_other_without_padding() -> None:
    batch = [
        CE.model_validate({"input": np.full((rows, 3), rows, np.float32), "target": np.zeros(rows, np.int64)})
        for rows in (2, 1, 4)
    ]
    found = stack(batch, pads=False)
    assert [(segment.start, segment.stop) for segment in found.segments] == [(0, 2), (2, 3), (3, 7)]
    assert found.arrays["input"][:, 0].tolist() == [2, 2, 1, 4, 4, 4, 4]
    assert found.values == (7,)


def test_an_unbatched_request_is_one_row() -> None:
    batch = [
        CE.model_validate({"input": np.ones(3, np.float32), "target": 1}),
        CE.model_validate({"input": np.ones((2, 3), np.float32), "target": [0, 2]}),
    ]
    assert batch[0].checked.key == batch[1].checked.key
    found = stack(batch, pads=False)
    assert [(segment.start, segment.stop) for segment in found.segments] == [(0, 1), (1, 3)]
    assert found.arrays["target"].tolist() == [1, 0, 2]


def test_inner_dims_of_the_loss_stay() -> None:
    request = CE.model_validate({"input": np.ones((2, 3, 4, 5), np.float32), "target": np.zeros((2, 4, 5), np.int64)})
    assert stack([request], pads=False).values == (2, 4, 5)


@pytest.mark.parametrize("classes", [1, 3, 10, 64])
def test_padded_rows_start_at_whole_lanes(classes: int) -> None:
    batch = [
        SOFT.model_validate({"input": np.ones((rows, classes), np.float32), "target": np.ones((rows, classes))})
        for rows in (1, 5)
    ]
    batch = [
        SOFT.model_validate({"input": r.checked.tensors["input"], "target": r.checked.tensors["input"]}) for r in batch
    ]
    found = stack(batch, pads=True)
    assert all(segment.start * classes % LANE == 0 for segment in found.segments)
    assert found.arrays["input"].size % LANE == 0
    assert [segment.stop - segment.start for segment in found.segments] == [1, 5]


def test_class_weights_are_shared_not_stacked() -> None:
    weight = np.array([1, 2, 3], np.float32)
    batch = [
        CE.model_validate({"input": np.ones((2, 3), np.float32), "target": [0, 1], "weight": weight}) for _ in range(3)
    ]
    assert stack(batch, pads=False).arrays["weight"].tolist() == [1, 2, 3]


def test_other_weights_options_types_or_classes_are_another_stack() -> None:
    base = {"input": np.ones((2, 3), np.float32), "target": [0, 1], "weight": [1.0, 2.0, 3.0]}
    key = CE.model_validate(base).checked.key
    assert key == CE.model_validate({**base, "reduction": "sum", "gradients": [], "encoding": "base64"}).checked.key
    others: list[dict[str, Any]] = [
        {"weight": [1.0, 2.0, 4.0]},
        {"label_smoothing": 0.1},
        {"ignore_index": 1},
        {"dtype": "float64"},
        {"input": np.ones((2, 4), np.float32), "weight": [1.0, 2.0, 3.0, 4.0]},
        {"target": np.ones((2, 3), np.float32)},
    ]
    keys = [CE.model_validate({**base, **other}).checked.key for other in others]
    assert len({key, *keys}) == len(others) + 1


def test_a_gradient_in_shared_weights_forbids_stacking() -> None:
    base = {"input": np.ones((2, 3), np.float32), "target": np.ones((2, 3), np.float32), "weight": [1.0, 2.0, 3.0]}
    assert CE.model_validate(base).checked.key is not None
    assert CE.model_validate({**base, "gradients": ["weight"]}).checked.key is None


def test_minus_zero_is_another_option_than_zero() -> None:
    base = {"input1": [1.0], "input2": [0.5], "target": [1]}
    ranking = LOSSES["margin_ranking_loss"]
    keys = [ranking.model_validate({**base, "margin": margin}).checked.key for margin in (0.0, -0.0)]
    assert keys[0] != keys[1]


def test_large_and_empty_requests_are_alone() -> None:
    empty, large, small = mse((0,), (20_000,), (3,))
    assert [request.checked.key is None for request in (empty, large, small)] == [True, True, False]


@pytest.mark.parametrize("offset", [8, 16, 24, 40])
def test_a_matrix_product_does_not_depend_on_where_its_operands_lie(offset: int) -> None:
    rng = np.random.default_rng(offset)
    values = {"input": rng.standard_normal((5, 7)), "linear_weight": rng.standard_normal((10, 7))}
    answers = []
    for shift in (0, offset):
        moved = {}
        for name, array in values.items():
            memory = np.zeros(array.size + 16)
            begin = (-memory.ctypes.data % 64 + shift) // 8
            moved[name] = memory[begin : begin + array.size].reshape(array.shape)
            moved[name][...] = array
        request = LOSSES["linear_cross_entropy"].model_validate({**moved, "target": np.arange(5)})
        answers.append(compute([request], open_device("cpu"))[0])
    one, other = answers
    assert one.loss.tobytes() == other.loss.tobytes()
    for name, gradient in one.gradients.items():
        assert gradient.tobytes() == other.gradients[name].tobytes()
