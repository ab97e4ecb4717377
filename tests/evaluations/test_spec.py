from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from schemas.evaluation.results import EvaluationResults
from schemas.evaluation.spec import RunSpec
from schemas.evaluation.task import task_of
from service.evaluations.metrics.catalogue import METRICS
from service.evaluations.metrics.plan import check_metrics, plan_of
from service.evaluations.partial import partial_of
from service.evaluations.tally import Tally
from tests.evaluations.batches import drawn, spec_of


def test_a_number_of_classes_stands_for_their_names() -> None:
    assert RunSpec.model_validate({"loss": "cross_entropy", "classes": 3}).classes == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"classes": 0}, "must be 1 to 10000 classes"),
        ({"classes": 10_001}, "must be 1 to 10000 classes"),
        ({"classes": True}, "valid list"),
        ({"classes": ["a", "a"]}, "every name must be there once"),
        ({"groups": ["a", "a"]}, "every name must be there once"),
        ({"groups": [""]}, "at least 1 character"),
        ({"name": "n" * 201}, "at most 200 characters"),
        ({"hardest": 1001}, "less than or equal to 1000"),
        ({"confidence": 1}, "less than or equal to 0.999999"),
        ({"confidence": 1e-9}, "greater than or equal to 0.001"),
        ({"confidence": "0.9"}, "valid number"),
        ({"expected_samples": 2**53 + 1}, "less than or equal to 9007199254740992"),
        ({"expected_samples": "7"}, "valid integer"),
        ({"metrics": [{"name": "top_k_accuracy", "k": "2"}]}, "valid integer"),
        ({"name": "a\0"}, "a NUL"),
        ({"tags": {"": "b"}}, "at least 1 character"),
        ({"tags": {"k" * 201: "b"}}, "at most 200 characters"),
        ({"tags": {"a": "\0"}}, "a NUL"),
        ({"classes": ["\0"]}, "a NUL"),
        ({"groups": ["a\0b"]}, "a NUL"),
        ({"expected_samples": 0}, "greater than or equal to 1"),
        ({"reduction": "none"}, "'mean' or 'sum'"),
        ({"metrics": [{"name": "loss"}]}, "Input should be 'accuracy'"),
        ({"metrics": [{"name": "mae"}] * 33}, "at most 32 items"),
        ({"tags": {"a": "t" * 201}}, "at most 200 characters"),
        ({"other": 1}, "Extra inputs are not permitted"),
    ],
)
def test_what_a_run_cannot_be_is_refused(members: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        RunSpec.model_validate({"loss": "cross_entropy"} | members)


def test_a_spec_comes_back_from_json_as_it_was() -> None:
    spec = spec_of("multiclass", "f1", classes=3, options={"ignore_index": 1}, tags={"a": "b"})
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("loss", "classes", "metric", "told"),
    [
        ("ctc_loss", 3, {"name": "accuracy"}, "ctc_loss has no predictions that metrics could be computed of"),
        ("mse_loss", None, {"name": "f1"}, "f1 is of multiclass and binary and multilabel predictions"),
        (
            "cross_entropy",
            3,
            {"name": "mae"},
            "mae is of regression predictions; those of cross_entropy are multiclass",
        ),
        ("asymmetric_loss", 3, {"name": "confusion_matrix"}, "those of asymmetric_loss are multilabel"),
        ("cross_entropy", None, {"name": "accuracy"}, "accuracy needs the run's classes"),
        ("multilabel_soft_margin_loss", None, {"name": "accuracy"}, "accuracy needs the run's classes"),
        ("cross_entropy", 1025, {"name": "confusion_matrix"}, "confusion_matrix takes at most 1024 classes"),
        ("cross_entropy", 3, {"name": "accuracy", "k": 1}, "accuracy has no k for multiclass predictions"),
        ("cross_entropy", 3, {"name": "f1", "threshold": 0.3}, "f1 has no threshold for multiclass predictions"),
        ("cross_entropy", 3, {"name": "auroc", "bins": 9}, "auroc has no bins"),
        ("cross_entropy", 3, {"name": "top_k_accuracy"}, "k is 5, and there are 3 classes"),
    ],
)
def test_metrics_that_do_not_fit_are_faults(loss: str, classes: int | None, metric: dict[str, Any], told: str) -> None:
    spec = RunSpec.model_validate({"loss": loss, "classes": classes, "metrics": [metric]})
    [fault] = check_metrics(spec)
    assert fault.pointer == "/metrics/0"
    assert told in fault.detail
    with pytest.raises(ValueError, match="does not fit the run"):
        plan_of(spec)


def test_a_metric_that_is_there_twice_is_a_fault() -> None:
    [fault] = check_metrics(spec_of("regression", "mae", "mse", "mae"))
    assert fault == ("/metrics/2", "mae is there twice", 422)


@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel", "regression"])
def test_metrics_that_fit_are_no_faults_and_the_results_are_those_of_the_model(task: str) -> None:
    names = [name for name, metric in METRICS.items() if task in metric.tasks]
    classes = 6 if task.startswith("multi") else None
    spec = spec_of(task, *names, classes=classes, groups=["en"])
    assert check_metrics(spec) == []
    tally = Tally(spec)
    for batch in (None, drawn(task, 20, 6, 1)):
        if batch is not None:
            tally.add(partial_of(spec, batch))
        found = tally.results()
        assert list(found) == list(EvaluationResults.model_fields)[: len(found)]
        assert set(found["metrics"]) == set(names)
        read = EvaluationResults.model_validate(found)
        again = orjson.loads(read.model_dump_json(by_alias=True, exclude_unset=True))
        assert EvaluationResults.model_validate(again).model_dump_json() == read.model_dump_json()


@pytest.mark.parametrize(
    ("loss", "task"),
    [
        ("cross_entropy", "multiclass"),
        ("nll_loss", "multiclass"),
        ("next_token_cross_entropy", "multiclass"),
        ("linear_cross_entropy", None),
        ("binary_cross_entropy", "binary"),
        ("soft_margin_loss", "binary"),
        ("multilabel_soft_margin_loss", "multilabel"),
        ("huber_loss", "regression"),
        ("gaussian_nll_loss", "regression"),
        ("ctc_loss", None),
        ("kl_div", None),
    ],
)
def test_the_task_of_a_run_follows_from_its_loss(loss: str, task: str | None) -> None:
    assert task_of(RunSpec(loss=loss)) == task


@pytest.mark.parametrize(("classes", "task"), [(None, "binary"), (1, "binary"), (2, "multilabel")])
def test_a_binary_loss_of_several_classes_is_of_so_many_labels(classes: int | None, task: str) -> None:
    assert task_of(spec_of("binary", classes=classes)) == task
