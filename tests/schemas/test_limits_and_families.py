"""Element arithmetic, and the checks of single losses: variances, cutoffs, chunks, labels."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from schemas.cotangents import LEAST_WORK
from schemas.losses import LOSSES
from schemas.problem import TOO_LARGE, InvalidRequest
from tests.schemas.refusing import elements, faults, faults_within


def test_a_small_body_cannot_expand_into_a_large_tensor() -> None:
    column, row = np.ones((30_000, 1), np.float32), np.ones((1, 30_000), np.float32)
    tracemalloc.start()
    with pytest.raises(InvalidRequest) as caught:
        LOSSES["gaussian_nll_loss"].model_validate({"input": column, "target": column, "var": row})
    assert caught.value.status == 422, "var does not broadcast so"
    wide = np.broadcast_to(np.float32(1), (30_000, 30_000))
    with pytest.raises(InvalidRequest) as caught:
        LOSSES["binary_cross_entropy_with_logits"].model_validate({"input": wide, "target": wide, "pos_weight": row})
    assert caught.value.status == TOO_LARGE
    assert tracemalloc.get_traced_memory()[1] < 1 << 20, "arithmetic only"
    tracemalloc.stop()


def test_a_weight_of_240_kilobytes_cannot_enlarge_the_loss() -> None:
    weight = np.ones((30_000, 1), np.float64)  # 240 kB; against a row of as many, 900 million elements
    ones = np.ones((1, 30_000), np.float64)
    assert list(faults("binary_cross_entropy_with_logits", input=ones, target=ones, pos_weight=weight)) == [
        "/pos_weight"
    ]


def test_what_broadcasts_counts_expanded() -> None:
    ones = np.ones((100, 10), np.float32)
    plain = {"input": ones, "target": ones}
    assert elements("binary_cross_entropy_with_logits", **plain) == 3000
    assert elements("binary_cross_entropy_with_logits", **plain, pos_weight=np.ones(10)) == 4000
    assert elements("gaussian_nll_loss", **plain, var=1.0) == 4000


def test_a_cotangent_counts() -> None:
    ones = np.ones(10, np.float32)
    plain = {"input": ones, "target": ones, "reduction": "none"}
    assert elements("mse_loss", **plain) == 30
    assert list(faults_within(35, "mse_loss", **plain, cotangent=ones)) == [""]


def test_each_of_many_cotangents_counts_with_its_gradients() -> None:
    ones = np.ones(10, np.float32)
    plain = {"input": ones, "target": ones, "cotangents": np.ones(4, np.float32)}
    needed = 30 + 4 + 4 * 10
    assert elements("mse_loss", **plain) == 4 * LEAST_WORK > needed
    assert list(faults_within(needed - 1, "mse_loss", **plain)) == ["/cotangents"]
    assert list(faults_within(33, "mse_loss", **plain, gradients=[])) == [""]


def test_many_cotangents_of_empty_rows_are_bounded() -> None:
    hollow = np.zeros((30_000, 0), np.float32)
    asked = {"input": hollow, "target": hollow}
    assert elements("mse_loss", **asked, cotangents=[1.0, 1.0]) == 2 * LEAST_WORK
    assert list(faults("mse_loss", **asked, cotangents=[1.0, 1.0, 1.0])) == ["/cotangents"]


def test_ctc_counts_its_states() -> None:
    frames, batch, classes, longest = 7, 3, 5, 4
    found = elements(
        "ctc_loss",
        log_probs=np.zeros((frames, batch, classes)),
        targets=np.ones((batch, longest), np.int64),
        input_lengths=np.full(batch, frames),
        target_lengths=np.full(batch, longest),
    )
    assert found >= frames * batch * (2 * longest + 1) + frames * batch * classes


def test_linear_cross_entropy_counts_its_logits() -> None:
    rows, features, classes = 11, 2, 13
    found = elements(
        "linear_cross_entropy",
        input=np.zeros((rows, features)),
        linear_weight=np.zeros((classes, features)),
        target=np.zeros(rows, np.int64),
    )
    assert found >= rows * classes + rows * features + classes * features


@pytest.mark.parametrize("var", [(2, 3), (2, 1), (1, 3), (2,), ()])
def test_a_variance_has_a_shape_that_torch_takes(var: tuple[int, ...]) -> None:
    ones = np.ones((2, 3))
    assert elements("gaussian_nll_loss", input=ones, target=ones, var=np.ones(var)) == 24


@pytest.mark.parametrize("var", [(3,), (1, 1), (1,), (2, 3, 1), (6,)])
def test_a_variance_of_another_shape_is_refused(var: tuple[int, ...]) -> None:
    ones = np.ones((2, 3))
    assert list(faults("gaussian_nll_loss", input=ones, target=ones, var=np.ones(var))) == ["/var"]


def test_a_negative_variance_is_refused_and_nan_passes() -> None:
    assert list(faults("gaussian_nll_loss", input=[1.0, 1.0], target=[1.0, 1.0], var=[1.0, -1.0])) == ["/var/1"]
    assert elements("gaussian_nll_loss", input=[1.0], target=[1.0], var=["NaN"]) == 4


ADAPTIVE: dict[str, Any] = {
    "input": np.zeros((2, 8)),
    "target": [0, 5],
    "cutoffs": [2, 4],
    "div_value": 2.0,
    "head_weight": np.zeros((4, 8)),
    "tail": [
        {"projection": np.zeros((4, 8)), "output": np.zeros((2, 4))},
        {"projection": np.zeros((2, 8)), "output": np.zeros((3, 2))},
    ],
}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"cutoffs": [4, 2]}, "/cutoffs"),
        ({"cutoffs": [2, 2]}, "/cutoffs"),
        ({"cutoffs": []}, "/cutoffs"),
        ({"cutoffs": [0, 2]}, "/cutoffs/0"),
        ({"cutoffs": [2]}, "/tail"),
        ({"target": [0, 7]}, "/target/1"),
        ({"target": [-1, 0]}, "/target/0"),
        ({"head_weight": np.zeros((5, 8))}, "/head_weight"),
        ({"head_bias": np.zeros(3)}, "/head_bias"),
        ({"div_value": 4.0}, "/tail/0/projection"),
        ({"div_value": 0.0}, "/div_value"),
        ({"tail": [ADAPTIVE["tail"][0], {"projection": [[1.0]]}]}, "/tail/1/output"),
        ({"gradients": ["tail.2.output"]}, "/gradients/0"),
        ({"gradients": ["target"]}, "/gradients/0"),
    ],
)
def test_an_adaptive_softmax_has_the_sizes_that_its_cutoffs_make(change: dict[str, Any], where: str) -> None:
    assert LOSSES["adaptive_log_softmax_with_loss"].model_validate(ADAPTIVE).checked.count == 2
    assert where in faults("adaptive_log_softmax_with_loss", **{**ADAPTIVE, **change})


def test_chunks_go_with_what_torchs_chunked_form_takes() -> None:
    plain: dict[str, Any] = {"input": [[1.0]], "linear_weight": [[1.0], [2.0]], "target": [0], "chunk_size": 1}
    assert elements("linear_cross_entropy", **plain) > 0
    assert list(faults("linear_cross_entropy", **plain, label_smoothing=0.1)) == ["/chunk_size"]
    assert list(faults("linear_cross_entropy", **{**plain, "target": [[0.5, 0.5]]})) == ["/chunk_size"]


def test_labels_are_checked_up_to_the_first_end() -> None:
    plain = {"input": [[0.1, 0.2, 0.3]]}
    found = LOSSES["multilabel_margin_loss"].model_validate({**plain, "target": [[2, -1, 99]]})
    assert found.checked.tensors["target"].tolist() == [[2, -1, -1]]
    assert list(faults("multilabel_margin_loss", **plain, target=[[3, -1, 0]])) == ["/target/0/0"]
    assert list(faults("multilabel_margin_loss", **plain, target=[[0, -2, -1]])) == ["/target/0/1"]


@pytest.mark.parametrize(
    ("name", "option", "bad"),
    [
        ("smooth_l1_loss", "beta", -0.1),
        ("huber_loss", "delta", 0),
        ("triplet_margin_loss", "margin", 0),
        ("multi_margin_loss", "p", 3),
        ("huber_loss", "delta", "1"),
        ("huber_loss", "delta", True),
        ("cross_entropy", "ignore_index", 1.0),
        ("kl_div", "log_target", 1),
        ("mse_loss", "reduction", "batchmean"),
        ("mse_loss", "on_empty", "skip"),
        ("mse_loss", "dtype", "int64"),
    ],
)
def test_options_out_of_bounds_or_of_another_type_are_refused(name: str, option: str, bad: Any) -> None:
    assert f"/{option}" in faults(name, **{**LOSSES[name].about.example, option: bad})


def test_a_vector_without_elements_has_no_greatest() -> None:
    empty = np.zeros((2, 0))
    triplet = {"anchor": empty, "positive": empty, "negative": empty}
    assert list(faults("triplet_margin_with_distance_loss", **triplet, distance="chebyshev")) == ["/anchor"]
    assert list(faults("triplet_margin_loss", **triplet, p="Infinity")) == ["/anchor"]
