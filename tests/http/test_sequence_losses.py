"""ctc_loss: what torch does not check, and what has no alignment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.asgi import InProcess

LOG_PROBS = np.log(np.full((4, 2, 3), 1 / 3)).tolist()  # 4 frames, 2 sequences, 3 classes
SOUND: dict[str, Any] = {
    "log_probs": LOG_PROBS,
    "targets": [[1, 2], [2, 0]],
    "input_lengths": [4, 3],
    "target_lengths": [2, 1],
    "dtype": "float64",
}
# One frame cannot hold two labels.
INFEASIBLE: dict[str, Any] = {
    "log_probs": np.log(np.full((1, 1, 3), 1 / 3)).tolist(),
    "targets": [[1, 2]],
    "input_lengths": [1],
    "target_lengths": [2],
}


def test_a_sound_request_counts_alignments(client: InProcess) -> None:
    answer = client.answer("ctc_loss", **SOUND, reduction="none")
    # Alignments of [1, 2] in four frames: 15; of [2] in three: 6. Each has probability 3 to the minus frames.
    expected = [-np.log(15 / 81), -np.log(6 / 27)]
    assert answer["loss"] == pytest.approx(expected, rel=1e-12)
    mean = client.answer("ctc_loss", **SOUND)
    assert mean["loss"] == pytest.approx((expected[0] / 2 + expected[1]) / 2, rel=1e-12)
    assert mean["divisor"] is None


FAULTY = [
    ("label too large", {"targets": [[1, 3], [2, 0]]}, "/targets/0/1"),
    ("label far too large", {"targets": [[1, 2**40], [2, 0]]}, "/targets/0/1"),
    ("label negative", {"targets": [[1, 2], [-1, 0]]}, "/targets/1/0"),
    ("label is the blank", {"targets": [[1, 0], [2, 0]]}, "/targets/0/1"),
    ("label of 64 bits", {"targets": [[1, 2**64 - 1], [2, 0]]}, "/targets/0/1"),
    ("too many frames", {"input_lengths": [5, 3]}, "/input_lengths/0"),
    ("negative frames", {"input_lengths": [4, -1]}, "/input_lengths/1"),
    ("too many labels", {"target_lengths": [3, 1]}, "/target_lengths/0"),
    ("negative labels", {"target_lengths": [2, -1]}, "/target_lengths/1"),
    ("blank too large", {"blank": 3}, "/blank"),
    ("blank negative", {"blank": -1}, "/blank"),
    ("one length too few", {"input_lengths": [4]}, "/input_lengths"),
    ("fractional length", {"input_lengths": [4, 2.5]}, "/input_lengths/1"),
    ("concatenated too short", {"targets": [1, 2]}, "/target_lengths"),
    ("concatenated too long", {"targets": [1, 2, 1, 1]}, "/target_lengths"),
    ("targets of three dims", {"targets": [[[1, 2]], [[2, 0]]]}, "/targets"),
    ("targets of another batch", {"targets": [[1, 2]]}, "/targets"),
]


@pytest.mark.parametrize(("change", "where"), [case[1:] for case in FAULTY], ids=[case[0] for case in FAULTY])
def test_what_torch_would_read_out_of_bounds_is_refused(client: InProcess, change: Any, where: str) -> None:
    assert where in client.faults("ctc_loss", **SOUND | change)


@pytest.mark.parametrize("padding", [0, -1, 3, 2**62, -(2**63)])
def test_padding_may_hold_anything(client: InProcess, padding: int) -> None:
    padded = SOUND | {"targets": [[1, 2], [2, padding]]}
    assert client.answer("ctc_loss", **padded) == client.answer("ctc_loss", **SOUND)


def test_concatenated_targets_mean_the_same_as_padded_ones(client: InProcess) -> None:
    concatenated = SOUND | {"targets": [1, 2, 2]}
    assert client.answer("ctc_loss", **concatenated) == client.answer("ctc_loss", **SOUND)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_an_infeasible_target_has_infinite_loss_and_nan_gradients(client: InProcess, reduction: str) -> None:
    answer = client.answer("ctc_loss", **INFEASIBLE, reduction=reduction)
    assert answer["loss"] == (["Infinity"] if reduction == "none" else "Infinity")
    assert answer["gradients"]["log_probs"] == [[["NaN", "NaN", "NaN"]]]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_zero_infinity_makes_an_infeasible_target_count_as_zero(client: InProcess, reduction: str) -> None:
    answer = client.answer("ctc_loss", **INFEASIBLE, reduction=reduction, zero_infinity=True)
    assert answer["loss"] == ([0.0] if reduction == "none" else 0.0)
    assert answer["gradients"]["log_probs"] == [[[0.0, 0.0, 0.0]]]


def test_an_infeasible_neighbour_in_the_batch_spoils_no_other_gradient(client: InProcess) -> None:
    mixed = SOUND | {"input_lengths": [1, 3]}
    answer = client.answer("ctc_loss", **mixed, reduction="none")
    sound = client.answer("ctc_loss", **SOUND, reduction="none")
    assert answer["loss"] == ["Infinity", sound["loss"][1]]
    own = np.array(answer["gradients"]["log_probs"])[:, 1]
    assert np.array_equal(own, np.array(sound["gradients"]["log_probs"])[:, 1].astype(own.dtype))


def test_an_unbatched_sequence_has_0d_lengths(client: InProcess) -> None:
    frames = np.array(LOG_PROBS)[:, 0].tolist()
    answer = client.answer(
        "ctc_loss", log_probs=frames, targets=[1, 2], input_lengths=4, target_lengths=2, reduction="none"
    )
    assert answer["loss"] == pytest.approx(-np.log(15 / 81), rel=1e-6)
    assert np.shape(answer["gradients"]["log_probs"]) == (4, 3)


def test_the_catalogue_says_what_the_gradient_is_right_for(client: InProcess) -> None:
    notes = " ".join(client.get("/v1/losses/ctc_loss").json()["notes"])
    assert "log_softmax" in notes
