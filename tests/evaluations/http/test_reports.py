from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk  # type: ignore[import-untyped]

from tests.asgi import problem_of, strict
from tests.evaluations.http.conftest import PATH, Evaluations

RNG = np.random.default_rng(61)
LOGITS = RNG.normal(size=(200, 4))
TARGET = RNG.integers(0, 4, 200)
GROUPS = RNG.integers(0, 2, 200)
WEIGHT = np.array([0.5, 1.0, 2.0, 0.25])
SPEC: dict[str, Any] = {
    "name": "<b>mine</b>",
    "classes": ["ant", "bee", "cat", "dog"],
    "groups": ["day", "night"],
    "metrics": ["accuracy", "f1", "auroc", "confusion_matrix", "calibration_error"],
}


def nll(logits: Any, target: Any) -> Any:
    """Each row's cross entropy in float64."""
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(target)), target]


def filled(
    evaluations: Evaluations, logits: Any = LOGITS, sizes: tuple[int, ...] = (7, 64, 1, 128), **spec: Any
) -> str:
    """A run of all rows, in ragged batches, with ids."""
    run = evaluations.made(**{**SPEC, **spec})
    start = 0
    for at, size in enumerate(sizes):
        rows = slice(start, start := start + size)
        evaluations.added(
            run,
            batch_id=f"{at}",
            input=logits[rows].tolist(),
            target=TARGET[rows].tolist(),
            groups=GROUPS[rows].tolist(),
            sample_ids=[f"img-{row}" for row in range(rows.start, rows.stop)],
        )
    return run


@pytest.fixture(scope="module")
def run(evaluations: Evaluations) -> str:
    return filled(evaluations)


def test_the_report_is_the_data_sets_and_not_an_average_of_batches(evaluations: Evaluations, run: str) -> None:
    results = evaluations.results(run)
    losses = nll(LOGITS, TARGET)
    assert results["loss"] == pytest.approx(losses.mean(), rel=1e-12)
    assert results["standard_error"] == pytest.approx(losses.std(ddof=1) / np.sqrt(200), rel=1e-9)
    assert results["sample_loss"]["max"] == pytest.approx(losses.max(), rel=1e-12)
    assert results["bootstrap"]["low"] < results["loss"] < results["bootstrap"]["high"]
    for at, own in enumerate(results["classes"]):
        assert own["loss"] == pytest.approx(losses[np.equal(TARGET, at)].mean(), rel=1e-12)
    for at, own in enumerate(results["groups"]):
        members = losses[np.equal(GROUPS, at)]
        assert (own["samples"], own["loss"]) == (len(members), pytest.approx(members.mean(), rel=1e-12))
    assert [one["id"] for one in results["hardest"][:3]] == [f"img-{row}" for row in np.argsort(-losses)[:3]]
    predicted = LOGITS.argmax(1)
    metrics = results["metrics"]
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(TARGET, predicted), abs=1e-12)
    assert metrics["f1"]["macro"] == pytest.approx(sk.f1_score(TARGET, predicted, average="macro"), abs=1e-12)
    np.testing.assert_array_equal(metrics["confusion_matrix"]["counts"], sk.confusion_matrix(TARGET, predicted))
    assert sum(one["samples"] for one in results["series"]) == 200


def test_weights_weigh_samples_as_in_the_loss_itself(evaluations: Evaluations) -> None:
    run = filled(evaluations, options={"weight": WEIGHT.tolist()})
    weights = WEIGHT[TARGET]
    expected = (weights * nll(LOGITS, TARGET)).sum() / weights.sum()
    results = evaluations.results(run)
    assert results["loss"] == pytest.approx(expected, rel=1e-12)
    assert results["divisor"] == weights.sum()
    whole = {"loss": "cross_entropy", "input": LOGITS.tolist(), "target": TARGET.tolist(), "weight": WEIGHT.tolist()}
    one = evaluations.request("POST", "/v1/loss", json={**whole, "dtype": "float64", "gradients": []}).json()
    assert results["loss"] == pytest.approx(one["loss"], rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "batch", "options"),
    [
        ("mse_loss", {"input": [[1.0, 2.0], [3.0, 5.0]], "target": [[0.0, 0.0], [1.0, 1.0]]}, {}),
        ("huber_loss", {"input": [1.0, 9.0], "target": [0.0, 0.0], "weight": [1.0, 3.0]}, {"delta": 2.0}),
        ("ctc_loss", None, {}),
        ("next_token_cross_entropy", None, {"ignore_index": 0}),
        ("dice_loss", None, {"mode": "multiclass"}),
        ("nt_xent_loss", None, {}),
        ("binary_cross_entropy_with_logits", None, {"pos_weight": [2.0]}),
        ("list_net_loss", None, {}),
        ("grpo_loss", None, {}),
        ("kl_div", None, {}),
    ],
)
def test_a_run_of_one_batch_has_the_loss_of_one_call(
    evaluations: Evaluations, loss: str, batch: dict[str, Any] | None, options: dict[str, Any]
) -> None:
    entry = evaluations.request("GET", f"/v1/losses/{loss}").json()
    members = dict(entry["example"]) if batch is None else dict(batch)
    known = {tensor["name"] for tensor in entry["tensors"]}
    shared = {
        name: value for name, value in members.items() if name not in known and name not in ("loss", "reduction")
    } | options
    if loss == "binary_cross_entropy_with_logits":
        members = {"input": [[0.5], [-1.0], [2.0]], "target": [[1.0], [0.0], [1.0]]}
    tensors = {name: value for name, value in members.items() if name in known and name not in shared}
    for reduction in ("mean", "sum"):
        run = evaluations.made(loss=loss, options=shared, reduction=reduction)
        added = evaluations.added(run, **tensors)
        told = {"loss": loss, **tensors, **shared, "dtype": "float64", "gradients": [], "reduction": reduction}
        one = evaluations.request("POST", "/v1/loss", json=told).json()
        assert added["batch"]["loss"] == pytest.approx(one["loss"], rel=1e-12)
        assert (added["batch"]["count"], added["batch"]["ignored"]) == (one["count"], one["ignored"])
        assert evaluations.results(run)["loss"] == pytest.approx(one["loss"], rel=1e-12)


def test_every_form_of_the_report_is_there(evaluations: Evaluations, run: str) -> None:
    path = f"{PATH}/{run}/report"
    page = evaluations.request("GET", f"{path}?format=html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src" not in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "&lt;b&gt;mine&lt;/b&gt;" in page.text
    assert "<b>mine" not in page.text
    assert evaluations.request("GET", path, headers={"accept": "text/html,*/*;q=0.8"}).content == page.content
    table = evaluations.request("GET", f"{path}?format=csv")
    assert table.headers["content-disposition"] == f'attachment; filename="evaluation-{run}.csv"'
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert (
        float(next(row for row in rows if (row["section"], row["name"]) == ("loss", "loss"))["value"])
        == evaluations.results(run)["loss"]
    )
    markdown = evaluations.request("GET", path, headers={"accept": "text/markdown"})
    assert markdown.headers["content-type"].startswith("text/markdown")
    assert markdown.headers["vary"].split(", ")[0] == "accept"
    assert strict(evaluations.request("GET", path).content)["evaluation"]["id"] == run
    problem_of(evaluations.request("GET", path, headers={"accept": "image/png"}), 406)
    problem_of(evaluations.request("GET", f"{path}?format=pdf"), 422)


def test_an_empty_run_has_a_report_in_every_form(evaluations: Evaluations) -> None:
    run = evaluations.made(**SPEC)
    assert evaluations.results(run)["loss"] == "NaN"
    for form in ("html", "csv", "markdown"):
        assert evaluations.request("GET", f"{PATH}/{run}/report?format={form}").status_code == 200


def test_losses_that_are_no_numbers_are_told_and_counted(evaluations: Evaluations) -> None:
    run = evaluations.made(loss="mse_loss")
    evaluations.added(run, input=["NaN", 1.0], target=[0.0, 0.0])
    results = evaluations.results(run)
    assert (results["loss"], results["not_finite"]["nan"]) == ("NaN", 1)
    assert results["sample_loss"]["max"] == 1.0
    assert evaluations.request("GET", f"{PATH}/{run}/report?format=html").status_code == 200


def test_two_runs_are_compared_sample_by_sample(evaluations: Evaluations, run: str) -> None:
    better = LOGITS.copy()
    better[np.arange(200), TARGET] += 0.5
    better[3, TARGET[3]] -= 9.0
    new = filled(evaluations, better, sizes=(100, 99))  # one sample fewer, other batches
    answer = evaluations.request("GET", f"{PATH}/{new}/comparison?with={run}")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["first"]["id"], told["second"]["id"]) == (run, new)
    found = told["comparison"]
    by = nll(better[:199], TARGET[:199]) - nll(LOGITS[:199], TARGET[:199])
    assert found["difference"] == pytest.approx(by.mean(), rel=1e-9)
    assert found["standard_error"] == pytest.approx(by.std(ddof=1) / np.sqrt(199), rel=1e-9)
    assert (found["samples"]["pairs"], found["samples"]["first_only"], found["samples"]["second_only"]) == (199, 1, 0)
    assert found["worsened"][0]["id"] == "img-3"
    assert found["second"] == {"lower": 198, "equal": 0, "higher": 1}
    for form in ("html", "csv", "markdown"):
        page = evaluations.request("GET", f"{PATH}/{new}/comparison?with={run}&format={form}")
        assert page.status_code == 200
    back = evaluations.request("GET", f"{PATH}/{run}/comparison?with={new}").json()["comparison"]
    assert back["difference"] == pytest.approx(-by.mean(), rel=1e-9)


def test_runs_that_cannot_be_compared_say_why(evaluations: Evaluations, run: str) -> None:
    other = evaluations.made(loss="mse_loss")
    told = problem_of(evaluations.request("GET", f"{PATH}/{other}/comparison?with={run}"), 409)
    assert "the losses differ" in told["detail"]
    empty = evaluations.made(**SPEC)
    told = problem_of(evaluations.request("GET", f"{PATH}/{empty}/comparison?with={run}"), 409)
    assert "no sample is in both" in told["detail"]
    problem_of(evaluations.request("GET", f"{PATH}/{run}/comparison?with=ev_none"), 404)
    problem_of(evaluations.request("GET", f"{PATH}/{run}/comparison"), 422)


def test_the_first_report_of_a_process_is_whole(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/evaluations.db"
    with Evaluations(url) as first:
        run = filled(first)
        before = first.results(run)
    with Evaluations(url) as second:
        assert second.results(run) == before
        assert before["bootstrap"] is not None
        assert before["series"]
