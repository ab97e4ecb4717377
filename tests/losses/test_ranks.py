"""Where ordinal, list-wise and distillation losses are usually got wrong: ranges, padding, far and masked logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from schemas.losses import LOSSES
from schemas.problem import InvalidRequest
from schemas.result import LossResult
from schemas.tensor import Reading
from service.compute import compute, open_device
from tests.losses.test_where_it_hurts import refused

CPU = open_device("cpu")
NAN, INF = math.nan, math.inf
LISTS = ["list_net_loss", "rank_net_loss", "lambda_rank_loss"]
DISTILLATIONS = ["distillation_kl_loss", "reverse_kl_loss", "generalized_jsd_loss"]


def answer(name: str, **members: Any) -> LossResult:
    return compute([LOSSES[name].model_validate(members)], CPU)[0]


@pytest.mark.parametrize("name", ["coral_loss", "corn_loss"])
def test_ranks_outside_the_thresholds_are_refused(name: str) -> None:
    logits = np.zeros((2, 3))
    assert refused(name, input=logits, target=[3, 4]) == {"/target/1": "4 is outside [0, 3]"}
    assert refused(name, input=logits, target=[-1, 0]) == {"/target/0": "-1 is outside [0, 3]"}


def test_coral_levels_outside_0_and_1_are_refused() -> None:
    assert list(refused("coral_loss", input=[[0.5, 1.0]], target=[[1.0, 1.5]])) == ["/target/0/1"]


def test_corn_asks_no_more_than_the_rank_says() -> None:
    found = answer("corn_loss", input=[[0.5, NAN, INF]], target=[0])
    assert found.loss == pytest.approx(math.log1p(math.exp(0.5)), rel=1e-6)
    assert found.gradients["input"][0, 1:].tolist() == [0, 0]
    assert found.divisor == 1


@pytest.mark.parametrize("name", ["coral_loss", "corn_loss"])
def test_far_ordinal_logits_are_finite(name: str) -> None:
    found = answer(name, input=[[1e4, -1e4, 1e4]], target=[1], reduction="sum")
    assert found.loss == (10_000 if name == "coral_loss" else 0)
    assert np.isfinite(found.gradients["input"]).all()


@pytest.mark.parametrize("name", DISTILLATIONS)
def test_far_teachers_and_students_are_finite(name: str) -> None:
    members = {"student_logits": [[1e4, -1e4, 0.0]], "teacher_logits": [[-1e4, 1e4, 0.0]]}
    found = answer(name, **members)
    expected = math.log(2) if name == "generalized_jsd_loss" else 20_000
    assert found.loss == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(found.gradients["student_logits"]).all()


@pytest.mark.parametrize("name", DISTILLATIONS)
def test_classes_that_both_mask_add_nothing(name: str) -> None:
    whole = {"student_logits": [[0.5, -0.3]], "teacher_logits": [[0.1, 0.9]]}
    masked = {member: np.append(rows, [[-INF]], 1) for member, rows in whole.items()}
    wanted = {"gradients": list(whole)}
    found, expected = answer(name, **masked, **wanted), answer(name, **whole, **wanted, dtype="float64")
    assert found.loss == pytest.approx(expected.loss, rel=1e-12)
    for member, gradient in expected.gradients.items():
        np.testing.assert_allclose(found.gradients[member], np.append(gradient, [[0]], 1), rtol=1e-12)


@pytest.mark.parametrize("name", DISTILLATIONS)
def test_a_masked_row_may_hold_anything(name: str) -> None:
    student, teacher = np.array([[0.5, -0.3], [NAN, INF]]), np.array([[0.1, 0.9], [NAN, 0.0]])
    found = answer(name, student_logits=student, teacher_logits=teacher, mask=[1, 0], reduction="mean")
    assert found.loss == answer(name, student_logits=student[:1], teacher_logits=teacher[:1]).loss
    assert (found.divisor, found.count, found.ignored) == (1, 1, 1)
    assert found.gradients["student_logits"][1].tolist() == [0, 0]


@pytest.mark.parametrize("name", DISTILLATIONS)
def test_one_class_leaves_nothing_to_learn(name: str) -> None:
    found = answer(
        name, student_logits=[[2.0]], teacher_logits=[[-1.0]], gradients=["student_logits", "teacher_logits"]
    )
    assert found.loss == 0
    assert not any(gradient.any() for gradient in found.gradients.values())


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_is_positive(temperature: float) -> None:
    members = {"student_logits": [[1.0]], "teacher_logits": [[1.0]], "temperature": temperature}
    assert list(refused("distillation_kl_loss", **members)) == ["/temperature"]


@pytest.mark.parametrize("name", LISTS)
def test_padded_items_may_hold_anything(name: str) -> None:
    x, y = np.array([[0.5, 1.0, NAN, INF]]), np.array([[2.0, 0.0, -1.0, NAN]])
    found = answer(name, input=x, target=y, mask=[[1, 1, 0, 0]])
    plain = answer(name, input=x[:, :2], target=y[:, :2])
    assert found.loss == pytest.approx(plain.loss, rel=1e-12)
    np.testing.assert_allclose(found.gradients["input"], [[*plain.gradients["input"][0], 0, 0]], rtol=1e-12)


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("odd", [NAN, INF])
def test_a_relevance_is_a_number(name: str, odd: float) -> None:
    assert list(refused(name, input=[[0.5, 1.0]], target=np.array([[0.0, odd]]))) == ["/target/0/1"]


@pytest.mark.parametrize("odd", [-1.0, 101.0])
def test_gains_are_made_of_relevances_from_0_to_100(odd: float) -> None:
    assert list(refused("lambda_rank_loss", input=[[0.5, 1.0]], target=[[0.0, odd]])) == ["/target/0/1"]
    top = answer("lambda_rank_loss", input=[[0.5, 1.0]], target=[[0.0, 100.0]])
    assert math.isfinite(top.loss)
    assert top.loss > 0


@pytest.mark.parametrize("name", LISTS)
def test_a_batch_without_anything_to_rank_is_what_on_empty_says(name: str) -> None:
    members = {"input": [[0.5, 1.0], [0.1, 0.2]], "target": [[1, 1], [2, 2]], "mask": [[1, 1], [1, 0]]}
    if name == "list_net_loss":
        members["mask"] = [[0, 0], [0, 0]]
    found = answer(name, **members)
    assert math.isnan(found.loss)
    assert (found.divisor, found.count, found.ignored) == (0, 0, 2)
    assert not found.gradients["input"].any()
    assert answer(name, **members, on_empty="zero").loss == 0
    assert "/on_empty" in refused(name, **members, on_empty="error")


def test_a_list_that_k_leaves_no_pair_of_is_ignored() -> None:
    members = {"input": [[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]], "target": [[1, 1, 0], [1, 0, 0]], "k": 2}
    found = answer("lambda_rank_loss", **members)
    assert (found.divisor, found.count, found.ignored) == (1, 1, 1)
    assert answer("lambda_rank_loss", **members, weighing="ndcg_loss1").ignored == 0


@pytest.mark.parametrize("name", ["rank_net_loss", "lambda_rank_loss"])
def test_far_scores_have_the_gradient_of_a_line(name: str) -> None:
    members = {"target": [[0.0, 1.0]], "reduction": "sum"} | (
        {"weighing": "none"} if name == "lambda_rank_loss" else {}
    )
    found = answer(name, input=[[1e4, -1e4]], **members)
    unit = 1 / math.log(2) if name == "lambda_rank_loss" else 1
    assert found.loss == pytest.approx(20_000 * unit, rel=1e-6)
    np.testing.assert_allclose(found.gradients["input"], [[unit, -unit]], rtol=1e-6)


def test_of_equal_scores_the_earlier_item_ranks_first() -> None:
    first = answer("lambda_rank_loss", input=[[1.0, 1.0]], target=[[1, 0]], k=1, weighing="ndcg_loss1")
    second = answer("lambda_rank_loss", input=[[1.0, 1.0]], target=[[0, 1]], k=1, weighing="ndcg_loss1")
    assert first.loss > 0
    assert second.loss == 0


@pytest.mark.parametrize("name", ["rank_net_loss", "lambda_rank_loss"])
def test_pairs_count_before_any_is_made(name: str) -> None:
    members = {"input": np.zeros((1, 100)), "target": np.arange(100.0).reshape(1, 100)}
    LOSSES[name].model_validate(members, context=Reading(max_elements=10_300))
    with pytest.raises(InvalidRequest, match="elements"):
        LOSSES[name].model_validate(members, context=Reading(max_elements=10_000))
