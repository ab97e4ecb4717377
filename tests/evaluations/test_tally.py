from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.evaluation.spec import RunSpec
from service.evaluations.partial import Partial, partial_of
from service.evaluations.scored import Misfit, Scored
from service.evaluations.tally import Tally
from tests.evaluations.batches import cut, drawn, scored_of, spec_of

RANKED = ("accuracy", "precision", "auroc", "average_precision", "confusion_matrix", "brier_score", "calibration_error")
METRICS = {
    "multiclass": (*RANKED, "balanced_accuracy", "recall", "f1"),
    "binary": RANKED,
    "multilabel": RANKED[:4],
    "regression": ("mae", "mse", "rmse", "r2"),
}


@pytest.fixture(autouse=True, scope="module")
def few_bins() -> Iterator[None]:
    """Score bins are counted and merged as any others: fewer of them make the tests quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.evaluations.metrics.counters.MAX_SCORE_BINS", 256)
        yield


def _run(task: str, n: int, seed: int) -> tuple[RunSpec, Scored]:
    """Samples of odd shares, in groups, some of which contribute nothing or are not finite."""
    rng = np.random.default_rng(seed)
    spec = spec_of(task, *METRICS[task], classes=4 if task.startswith("multi") else None, groups=["en", "de", "fr"])
    scored = drawn(task, n, 4, seed)
    shares = rng.choice([1.0, 1.0, 0.3, 1e-20, 0.0], n)
    values = scored.values * shares
    if rng.random() < 0.3 and n:
        values[rng.integers(n)] = rng.choice([np.nan, np.inf])
    groups = rng.integers(-1, 3, n).astype(np.int32)
    members: dict[str, Any] = {"values": values, "shares": shares, "element_values": values, "element_shares": shares}
    return spec, replace(scored, groups=groups, sample_ids=[f"s{at}" for at in range(n)], **members)


@pytest.mark.parametrize("task", METRICS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_order_and_any_tree_of_merges_is_the_same_to_the_bit(task: str, data: st.DataObject) -> None:
    spec, scored = _run(task, data.draw(st.integers(1, 40)), data.draw(st.integers(0, 10_000)))
    parts = cut(scored, [*data.draw(st.lists(st.integers(1, 12), max_size=6)), len(scored.values)])
    partials = [partial_of(spec, part) for part in parts]
    straight = Tally(spec)
    for partial in partials:
        straight.add(partial)
    branches = []
    for partial in data.draw(st.permutations(partials)):
        branch = Tally(spec)
        branch.add(Partial.decode(partial.encode()))
        branches.append(branch)
    while len(branches) > 1:
        taken = branches.pop(data.draw(st.integers(0, len(branches) - 1)))
        at = data.draw(st.integers(0, len(branches) - 1))
        branches[at] = branches[at].copy() if data.draw(st.booleans()) else branches[at]
        branches[at].add(taken.partial())
    assert branches[0].encode() == straight.encode()
    assert orjson.dumps(branches[0].results()) == orjson.dumps(straight.results())
    assert Tally.decode(spec, straight.encode()).encode() == straight.encode()


@pytest.mark.parametrize("task", METRICS)
def test_figures_do_not_depend_on_how_samples_are_cut_into_batches(task: str) -> None:
    for seed in range(5):
        spec, scored = _run(task, 60, seed)
        found = []
        for sizes in ([60], [1] * 60, [7, 13, 40]):
            tally = Tally(spec)
            for part in cut(scored, sizes):
                tally.add(partial_of(spec, part))
            results = tally.results()
            hardest = [{name: one[name] for name in ("id", "loss", "class", "group")} for one in results["hardest"]]
            found.append(orjson.dumps(results | {"batches": None, "hardest": hardest}))
        assert found[0] == found[1] == found[2]


def test_a_batch_of_equal_content_has_equal_bytes() -> None:
    spec, scored = _run("multiclass", 50, 1)
    assert partial_of(spec, scored).encode() == partial_of(spec, scored).encode()


def test_a_tally_of_one_batch_is_its_partial() -> None:
    spec, scored = _run("multiclass", 50, 1)
    partial, tally = partial_of(spec, scored), Tally(spec)
    tally.add(partial)
    assert tally.encode() == partial.encode()


def test_values_that_cancel_leave_no_trace_in_the_bytes() -> None:
    spec = spec_of("regression", hardest=0)
    one, other = (partial_of(spec, scored_of(np.array([value]))) for value in (1.0, -1.0))
    tally, apart = Tally(spec), Tally(spec)
    tally.add(one)
    tally.add(other)
    apart.add(partial_of(spec, scored_of(np.array([-1.0, 1.0]))))
    apart.batches = 2
    assert tally.encode() == apart.encode()


def test_a_small_batch_is_small() -> None:
    spec = spec_of("multiclass", "accuracy", "f1", "confusion_matrix", "calibration_error", classes=10)
    assert len(partial_of(spec, drawn("multiclass", 32, 10, 0)).encode()) < 2048


def test_a_copy_goes_on_by_itself() -> None:
    spec, scored = _run("multiclass", 20, 3)
    tally = Tally(spec)
    tally.add(partial_of(spec, scored))
    before, other = tally.encode(), tally.copy()
    other.add(partial_of(spec, scored))
    assert tally.encode() == before
    assert other.samples == 2 * tally.samples


def test_bytes_of_another_version_are_refused() -> None:
    with pytest.raises(ValueError, match="not a partial of version 1"):
        Partial.decode(b"\x02\x00")
    with pytest.raises(ValueError, match="not a partial of version 1"):
        Partial.decode(b"")


def test_what_contributes_nothing_is_counted_and_no_more() -> None:
    spec = spec_of("multiclass", classes=2)
    scored = scored_of(
        np.array([9.0, 1.0, 3.0]), np.array([0.0, 1.0, 1.0]), counts=np.array([0, 1, 2]), ignored=np.array([2, 1, 0])
    )
    tally = Tally(spec)
    tally.add(partial_of(spec, scored))
    assert (tally.samples, tally.count, tally.ignored, tally.loss) == (3, 3, 3, 2.0)


def test_an_empty_run_has_results() -> None:
    found = Tally(spec_of("multiclass", *METRICS["multiclass"], classes=3, groups=["en"])).results()
    assert found["samples"] == 0
    assert np.isnan(found["loss"])
    assert found["sample_loss"]["min"] is None
    assert found["classes"] is None
    assert np.isnan(found["metrics"]["accuracy"])


def test_classes_and_groups_have_the_losses_of_their_own() -> None:
    spec = spec_of("multiclass", classes=["cat", "dog", "cow"], groups=["en", "de"])  # type: ignore[arg-type]
    values, shares = np.array([1.0, 2.0, 6.0, 4.0]), np.array([1.0, 2.0, 2.0, 1.0])
    scored = scored_of(values, shares, element_classes=np.array([0, 1, 1, 0]), groups=np.array([0, 0, 1, -1], np.int32))
    tally = Tally(spec)
    tally.add(partial_of(spec, scored))
    found = tally.results()
    assert [(one["name"], one["loss"], one["divisor"], one["count"]) for one in found["classes"][:2]] == [
        ("cat", 2.5, 2.0, 2),
        ("dog", 2.0, 4.0, 2),
    ]
    assert found["classes"][0]["standard_error"] == 1.5  # half of |4 - 1|: two elements
    assert np.isnan(found["classes"][2]["loss"])
    assert [(one["group"], one["loss"], one["count"], one["samples"]) for one in found["groups"]] == [
        ("en", 1.0, 2, 2),
        ("de", 3.0, 1, 1),
    ]
    assert found["groups"][1]["standard_error"] is None


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"element_classes": np.array([0, 3])}, r"class 3 is outside \[0, 3\)"),
        ({"element_classes": np.array([-1, 0])}, r"class -1 is outside \[0, 3\)"),
        ({"groups": np.array([0, 2], np.int32)}, r"group 2 is outside \[0, 2\)"),
    ],
)
def test_classes_and_groups_beyond_the_runs_are_refused(members: dict[str, Any], told: str) -> None:
    spec = spec_of("multiclass", classes=3, groups=["en", "de"])
    with pytest.raises(Misfit, match=told):
        partial_of(spec, scored_of(np.ones(2), **members))


def test_the_interval_is_as_wide_as_the_level_asks() -> None:
    spec = spec_of("regression", confidence=0.6826894921370859)  # one standard deviation to either side
    tally = Tally(spec)
    tally.add(partial_of(spec, scored_of(np.array([1.0, 3.0]))))
    interval = tally.results()["interval"]
    assert (interval["low"], interval["high"]) == pytest.approx((1.0, 3.0), rel=1e-12)
