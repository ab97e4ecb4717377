"""Metrics against scikit-learn's, on all samples at once, with figures from many batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk  # type: ignore[import-untyped] # has no types
from numpy.typing import NDArray

from schemas.evaluation.spec import MetricSpec
from service.evaluations.metrics.counters import ScoreBins
from service.evaluations.metrics.scores import Scores
from service.evaluations.partial import partial_of
from service.evaluations.scored import Misfit, Scored
from service.evaluations.tally import Tally
from tests.evaluations.batches import cut, drawn, scored_of, spec_of

CLASSES = 6  # the last is never there
N = 400
SEEDS = range(4)


def _figures(task: str, scored: Scored, *metrics: str | MetricSpec, classes: int | None = CLASSES) -> dict[str, Any]:
    spec = spec_of(task, *metrics, classes=classes)
    tally = Tally(spec)
    for part in cut(scored, [1, 100, 37, len(scored.values)]):
        tally.add(partial_of(spec, part))
    found: dict[str, Any] = tally.results()["metrics"]
    return found


def _softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return found


def _same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def _scorer(name: str) -> Any:
    return {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}[name]


@pytest.mark.parametrize("seed", SEEDS)
def test_classification_figures_are_scikit_learns(seed: int) -> None:
    scored = drawn("multiclass", N, CLASSES, seed)
    y, predicted = scored.targets, scored.predictions.argmax(1)  # type: ignore[union-attr]
    found = _figures("multiclass", scored, "accuracy", "balanced_accuracy", "confusion_matrix", "brier_score")
    _same(found["accuracy"], sk.accuracy_score(y, predicted))
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        _same(found["balanced_accuracy"], sk.balanced_accuracy_score(y, predicted))
    counts = sk.confusion_matrix(y, predicted, labels=range(CLASSES))
    assert found["confusion_matrix"] == {"classes": ["0", "1", "2", "3", "4", "5"], "counts": counts.tolist()}
    p = _softmax(scored.predictions)  # type: ignore[arg-type]
    _same(found["brier_score"], sk.brier_score_loss(y, p, labels=list(range(CLASSES))))


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
@pytest.mark.parametrize("seed", SEEDS)
def test_averages_are_scikit_learns(name: str, seed: int) -> None:
    scored = drawn("multiclass", [N, 7, 7, 12][seed], CLASSES, seed)  # of few rows some classes are neither
    y, predicted = scored.targets, scored.predictions.argmax(1)  # type: ignore[union-attr]
    found = _figures("multiclass", scored, name)[name]
    for average in ("micro", "macro", "weighted"):
        _same(found[average], _scorer(name)(y, predicted, average=average, zero_division=0))
    seen = np.union1d(y, predicted)  # type: ignore[arg-type]
    expected = _scorer(name)(y, predicted, average=None, labels=seen, zero_division=0)
    _same([found["per_class"][at] for at in seen], expected)
    assert all(found["per_class"][at] is None for at in range(CLASSES) if at not in seen)


@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_top_k_accuracy_is_scikit_learns_without_ties(k: int) -> None:
    scored = drawn("multiclass", N, CLASSES, 5)
    scored.predictions = np.random.default_rng(5).normal(size=(N, CLASSES))
    found = _figures("multiclass", scored, MetricSpec(name="top_k_accuracy", k=k))["top_k_accuracy"]
    assert found["k"] == k
    labels = range(CLASSES + 1)  # one more than there are: with k of all it would warn
    wide = np.hstack((scored.predictions, np.full((N, 1), -99.0)))
    _same(found["value"], sk.top_k_accuracy_score(scored.targets, wide, k=k, labels=labels))


def test_of_equal_predictions_the_first_class_is_the_better_one() -> None:
    scored = drawn("multiclass", 30, CLASSES, 5)
    scored.predictions = np.zeros((30, CLASSES))
    found = _figures("multiclass", scored, "accuracy", MetricSpec(name="top_k_accuracy", k=1))
    assert found["top_k_accuracy"]["value"] == found["accuracy"] == np.mean(scored.targets == 0)
    found = _figures("multiclass", scored, MetricSpec(name="top_k_accuracy", k=3))
    assert found["top_k_accuracy"]["value"] == np.mean(scored.targets < 3)  # type: ignore[operator]


RANKS: dict[str, Any] = {"auroc": sk.roc_auc_score, "average_precision": sk.average_precision_score}


@pytest.mark.parametrize("name", RANKS)
@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel"])
@pytest.mark.parametrize("seed", SEEDS)
def test_areas_are_scikit_learns_on_binned_scores_and_within_the_bound_on_raw_ones(
    name: str, task: str, seed: int
) -> None:
    scored = drawn(task, N, CLASSES, seed)
    scored.predictions = np.random.default_rng(seed).normal(size=scored.predictions.shape) * [1, 1e-3, 20, 5][seed]  # type: ignore[union-attr]
    classes = 1 if task == "binary" else CLASSES
    found = _figures(task, scored, name, classes=None if task == "binary" else CLASSES)[name]
    scores = Scores(task, classes, scored)  # type: ignore[arg-type]
    raw = scores.probabilities.reshape(N, classes)
    binned = ScoreBins(classes).bin_of(raw)
    there: NDArray[Any] = np.asarray(scores.targets)
    there = (there[:, None] == np.arange(classes)) if task == "multiclass" else there.reshape(N, classes)
    values = []
    for at in range(classes):
        if not there[:, at].any():
            assert found["per_class"][at] is None
            continue
        _same(found["per_class"][at], RANKS[name](there[:, at], binned[:, at]))
        assert abs(found["per_class"][at] - RANKS[name](there[:, at], raw[:, at])) <= found["error_bound"] + 1e-14
        values.append((found["per_class"][at], there[:, at].sum()))
    _same(found["macro"], np.mean([value for value, _ in values]))
    _same(found["weighted"], np.average([value for value, _ in values], weights=[weight for _, weight in values]))


@pytest.mark.parametrize("name", RANKS)
def test_the_bound_holds_where_bins_are_few_and_scores_tie(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("service.evaluations.metrics.counters.MAX_SCORE_BINS", 64)
    rng = np.random.default_rng(11)
    widest = 0.0
    for at in range(60):
        n = int(rng.integers(3, 60))
        p = rng.beta(2, 2, n) if at % 2 else np.round(rng.beta(2, 2, n), 2)
        y = (rng.random(n) < 0.4).astype(np.float64)
        y[:2] = 0, 1
        scored = scored_of(np.ones(n), predictions=p, targets=y, task="binary", form="probabilities")
        found = _figures("binary", scored, name, classes=None)[name]
        away = abs(found["macro"] - RANKS[name](y, p))
        assert away <= found["error_bound"] + 1e-14
        widest = max(widest, away)
    assert widest > 0.02  # the bound was put to use


def test_bins_rise_with_the_probability_and_part_what_is_almost_sure() -> None:
    bins = ScoreBins(10)
    p = np.sort(np.concatenate((np.random.default_rng(0).random(5000), [0.0, 0.5, 1.0], 0.5 ** np.arange(1, 60))))
    found = bins.bin_of(p)
    assert (np.diff(found) >= 0).all()
    assert (found[0], found[-1]) == (0, bins.bins - 1)
    near_one = bins.bin_of(1 - np.array([1e-9, 1.01e-9, 1e-6, 1.01e-6]))
    assert (np.diff(near_one[[1, 0]]) > 0) & (near_one[3] < near_one[2])


@pytest.mark.parametrize("classes", [1, 2, 10, 1000, 10_000])
def test_score_cells_are_bounded_whatever_the_classes(classes: int) -> None:
    bins = ScoreBins(classes)
    assert 64 <= bins.bins <= 1 << 16
    assert bins.size <= 1 << 21


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("threshold", [None, 0.2])
def test_binary_figures_are_scikit_learns(seed: int, threshold: float | None) -> None:
    scored = drawn("binary", N, 1, seed)
    p = 1 / (1 + np.exp(-scored.predictions))  # type: ignore[operator]
    y, predicted = scored.targets.astype(int), (p > (threshold or 0.5)).astype(int)  # type: ignore[union-attr]
    names = ("accuracy", "precision", "recall", "f1", "balanced_accuracy", "confusion_matrix")
    asked = [MetricSpec.model_validate({"name": name, "threshold": threshold}) for name in names]
    found = _figures("binary", scored, *asked, "brier_score", classes=None)
    _same(found["accuracy"], sk.accuracy_score(y, predicted))
    _same(found["balanced_accuracy"], sk.balanced_accuracy_score(y, predicted))
    _same(found["brier_score"], sk.brier_score_loss(y, p))
    assert found["confusion_matrix"]["counts"] == sk.confusion_matrix(y, predicted).tolist()
    for name in ("precision", "recall", "f1"):
        for average in ("binary", "micro", "macro", "weighted"):
            _same(found[name][average], _scorer(name)(y, predicted, average=average, zero_division=0))
        _same(found[name]["per_class"], _scorer(name)(y, predicted, average=None, zero_division=0))


@pytest.mark.parametrize("seed", SEEDS)
def test_multilabel_figures_are_scikit_learns(seed: int) -> None:
    scored = drawn("multilabel", N, CLASSES, seed)
    y, predicted = scored.targets.astype(int), (scored.predictions > 0).astype(int)  # type: ignore[union-attr,operator]
    found = _figures("multilabel", scored, "accuracy", "precision", "recall", "f1")
    _same(found["accuracy"], sk.accuracy_score(y, predicted))
    for name in ("precision", "recall", "f1"):
        for average in ("micro", "macro", "weighted"):
            _same(found[name][average], _scorer(name)(y, predicted, average=average, zero_division=0))
        _same(found[name]["per_class"], _scorer(name)(y, predicted, average=None, zero_division=0))


@pytest.mark.parametrize("task", ["multiclass", "binary"])
@pytest.mark.parametrize("bins", [2, 15])
def test_calibration_error_is_that_of_its_definition(task: str, bins: int) -> None:
    scored = drawn(task, N, CLASSES, 3)
    found = _figures(
        task, scored, MetricSpec(name="calibration_error", bins=bins), classes=None if task == "binary" else CLASSES
    )["calibration_error"]
    right: NDArray[np.bool_]
    if task == "binary":
        p, right = 1 / (1 + np.exp(-scored.predictions)), np.asarray(scored.targets) == 1  # type: ignore[operator]
    else:
        p = _softmax(scored.predictions).max(1)  # type: ignore[arg-type]
        right = scored.predictions.argmax(1) == np.asarray(scored.targets)  # type: ignore[union-attr]
    gaps, expected = [], 0.0
    assert len(found["bins"]) == bins
    for at, one in enumerate(found["bins"]):
        low, high = at / bins, (at + 1) / bins
        own = (p >= low) & ((p < high) | (at == bins - 1))
        assert (one["low"], one["high"], one["count"]) == (low, high, np.count_nonzero(own))
        if not own.any():
            assert one["confidence"] is one["accuracy"] is None
            continue
        _same(one["confidence"], p[own].mean())
        _same(one["accuracy"], np.mean(right[own]))
        gaps.append(abs(p[own].mean() - np.mean(right[own])))
        expected += gaps[-1] * own.mean()
    _same(found["expected"], expected)
    _same(found["maximum"], max(gaps))


@pytest.mark.parametrize("seed", SEEDS)
def test_regression_figures_are_scikit_learns(seed: int) -> None:
    scored = drawn("regression", N, 1, seed)
    x, y = scored.predictions, scored.targets
    found = _figures("regression", scored, "mae", "mse", "rmse", "r2", classes=None)
    _same(found["mae"], sk.mean_absolute_error(y, x))
    _same(found["mse"], sk.mean_squared_error(y, x))
    _same(found["rmse"], sk.root_mean_squared_error(y, x))
    _same(found["r2"], sk.r2_score(y, x))


@pytest.mark.parametrize(
    ("x", "y", "r2"),
    [([1.0, 1.0], [1.0, 1.0], 1.0), ([1.0, 2.0], [1.0, 1.0], 0.0), ([1.0], [1.0], math.nan)],
)
def test_r2_of_equal_targets_is_scikit_learns(x: list[float], y: list[float], r2: float) -> None:
    scored = scored_of(np.ones(len(x)), predictions=np.array(x), targets=np.array(y), task="regression", form="values")
    np.testing.assert_equal(_figures("regression", scored, "r2", classes=None)["r2"], r2)


@pytest.mark.parametrize("form", ["logits", "log_probabilities", "probabilities"])
@pytest.mark.parametrize("task", ["multiclass", "binary"])
def test_every_form_of_the_same_predictions_has_the_same_figures(task: str, form: str) -> None:
    scored = drawn(task, N, CLASSES, 2)
    expected = Scores(task, CLASSES, scored).probabilities  # type: ignore[arg-type]
    scored.form = form  # type: ignore[assignment]
    scored.predictions = {
        "logits": scored.predictions, "log_probabilities": np.log(expected), "probabilities": expected
    }[form]  # fmt: skip
    np.testing.assert_allclose(Scores(task, CLASSES, scored).probabilities, expected, rtol=1e-13)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel", "regression"])
def test_a_prediction_that_is_nan_makes_metrics_nan_and_counts_without_it(task: str) -> None:
    scored = drawn(task, 20, CLASSES, 1)
    scored.predictions[3] = np.nan  # type: ignore[index]
    if task == "regression":
        assert np.isnan(_figures(task, scored, "mae", classes=None)["mae"])
        return
    found = _figures(task, scored, "accuracy", "precision", "auroc", classes=None if task == "binary" else CLASSES)
    assert np.isnan(found["accuracy"])
    assert np.isnan(found["precision"]["macro"])
    assert np.isnan(found["auroc"]["error_bound"])
    if task == "multiclass":
        found = _figures(task, scored, "confusion_matrix", "calibration_error")
        assert np.sum(found["confusion_matrix"]["counts"]) == 19
        assert np.isnan(found["calibration_error"]["expected"])
        assert found["calibration_error"]["bins"][0]["high"] == 1 / 15


@pytest.mark.parametrize(
    ("task", "members", "told"),
    [
        ("multiclass", {"predictions": None}, "the run's metrics are of multiclass predictions"),
        ("multiclass", {"task": "binary"}, "the batch has binary"),
        ("multiclass", {"task": None}, "the batch has none"),
        ("multiclass", {"predictions": np.zeros((5, 3))}, r"predictions are \(5, 3\); the run's metrics need \(m, 6\)"),
        ("multiclass", {"targets": np.zeros(4, np.int64)}, r"targets are \(4,\) for predictions that are \(5, 6\)"),
        ("multiclass", {"targets": np.full(5, 6)}, r"a target is outside \[0, 6\)"),
        ("binary", {"predictions": np.zeros((5, 1))}, r"the run's metrics need \(m,\)"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(task: str, members: dict[str, Any], told: str) -> None:
    scored = drawn(task, 5, CLASSES, 1)
    for name, value in members.items():
        setattr(scored, name, value)
    spec = spec_of(task, "accuracy", classes=None if task == "binary" else CLASSES)
    scored.element_classes = None
    with pytest.raises(Misfit, match=told):
        partial_of(spec, scored)
