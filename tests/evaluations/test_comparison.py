from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from service.evaluations import pairing
from service.evaluations.comparison import NotComparable, compare
from service.evaluations.samples import Samples
from tests.evaluations.stored import batched, run, stream_of

CLASSES = ["cat", "dog", "猫"]
GROUPS = ["en", "de"]


def compared(first: Any, second: Any, sizes: tuple[int, int] | None = None, **spec: Any) -> dict[str, Any]:
    """The comparison of two runs of batches."""
    counts = sizes or tuple(sum(len(samples) for _, samples in side) for side in (first, second))
    sides = run("a", counts[0], **spec), run("b", counts[1], **spec)
    return asyncio.run(compare(*sides, stream_of({"a": first, "b": second})))


def drawn(n: int, seed: int = 0) -> dict[str, Any]:
    """Two models' losses on the same samples; the second is better by 0.05, but in class 1."""
    draws = np.random.default_rng(seed)
    classes, groups = draws.integers(0, 3, n), draws.integers(0, 2, n)
    shares = draws.uniform(0.5, 2, n)
    first = draws.lognormal(size=n)
    second = first - 0.05 + 0.2 * (classes == 1) + draws.normal(scale=0.3, size=n)
    return {"v1": first * shares, "v2": second * shares, "w": shares, "classes": classes, "groups": groups}


def sides(made: dict[str, Any], **how: Any) -> tuple[Any, Any]:
    """Both runs' batches."""
    names = {"classes": made["classes"], "groups": made["groups"]}
    return batched(made["v1"], made["w"], **names), batched(made["v2"], made["w"], **names, **how)


def test_the_difference_and_its_error_are_those_of_the_paired_ratio() -> None:
    made = drawn(5000)
    found = compared(*sides(made, size=77), classes=CLASSES, groups=GROUPS)
    by = (made["v2"] - made["v1"]) / made["w"]
    assert found["difference"] == pytest.approx(np.average(by, weights=made["w"]), rel=1e-12)
    assert found["first_loss"] == pytest.approx(np.average(made["v1"] / made["w"], weights=made["w"]), rel=1e-12)
    residuals = made["w"] * (by - found["difference"]) / made["w"].sum()
    error = np.sqrt(5000 / 4999 * (residuals**2).sum())
    assert found["standard_error"] == pytest.approx(error, rel=1e-10)
    assert found["interval"]["high"] - found["difference"] == pytest.approx(1.959963984540054 * error, rel=1e-9)
    assert found["bootstrap"]["low"] == pytest.approx(found["interval"]["low"], abs=0.3 * error)
    assert found["bootstrap"]["high"] == pytest.approx(found["interval"]["high"], abs=0.3 * error)


def test_classes_and_groups_have_their_own_differences() -> None:
    made = drawn(6000)
    found = compared(*sides(made), classes=CLASSES, groups=GROUPS)
    for kind, names in (("classes", CLASSES), ("groups", GROUPS)):
        assert [each.get("name") or each["group"] for each in found[kind]] == names
        for slot, each in enumerate(found[kind]):
            chosen = made[kind] == slot
            by = (made["v2"] - made["v1"])[chosen].sum() / made["w"][chosen].sum()
            assert each["difference"] == pytest.approx(by, rel=1e-11)
            assert each["pairs"] == chosen.sum()
    assert found["classes"][1]["interval"]["low"] > 0 > found["classes"][0]["interval"]["high"]


def test_names_that_differ_leave_out_classes_and_groups() -> None:
    made = drawn(100)
    first, second = sides(made)
    runs = run("a", 100, classes=CLASSES, groups=GROUPS), run("b", 100, classes=CLASSES[::-1], groups=["en"])
    found = asyncio.run(compare(*runs, stream_of({"a": first, "b": second})))
    assert found["classes"] is None
    assert found["groups"] is None


def test_a_sums_difference_is_of_the_pairs_there_are() -> None:
    made = drawn(4000)
    found = compared(*sides(made), reduction="sum")
    by = made["v2"] - made["v1"]
    assert found["difference"] == pytest.approx(by.sum(), rel=1e-11)
    assert found["standard_error"] == pytest.approx(np.sqrt(4000) * by.std(ddof=1), rel=1e-10)
    assert found["bootstrap"]["low"] == pytest.approx(found["interval"]["low"], abs=0.3 * found["standard_error"])
    assert found["second"] == {"lower": (by < 0).sum(), "equal": 0, "higher": (by > 0).sum()}


@pytest.mark.parametrize("n", [1000, 9000])
def test_order_batches_and_parts_change_no_bit(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, draws = drawn(n), np.random.default_rng(9)

    def figures() -> str:
        found = compared(
            *sides(made, order=draws.permutation(n), size=int(draws.integers(50, n))), classes=CLASSES, groups=GROUPS
        )
        return json.dumps(found)

    alone = figures()
    assert figures() == alone
    monkeypatch.setattr(pairing, "TOGETHER", 300)
    assert figures() == alone


def test_samples_of_one_run_only_and_repeated_ones_are_counted_and_left_out() -> None:
    first = batched([1.0, 2.0, 3.0, 4.0, 9.0], ids=["a", "b", "c", "d", "a"])
    second = batched([1.5, 2.5, 2.0, 7.0], ids=["a", "b", "c", "x"], size=2)
    found = compared(first, second)
    assert found["samples"] == {
        "pairs": 2,
        "first_only": 1,
        "second_only": 1,
        "first_repeated": 2,
        "second_repeated": 1,
        "without_loss": 0,
        "not_finite": 0,
        "other_class": 0,
        "other_share": 0,
    }
    assert found["difference"] == -0.25  # b: +0.5, c: -1
    assert [each["id"] for each in found["improved"]] == ["c"]
    worse = found["worsened"][0]
    assert (worse["id"], worse["first"], worse["second"], worse["batch_id"], worse["index"]) == ("b", 2.0, 2.5, "b0", 1)


def test_what_has_no_loss_or_no_finite_one_is_counted_and_left_out() -> None:
    first = batched([1.0, np.nan, 0.0, 3.0], [1, 1, 0, 1], classes=[0, 1, 2, 0])
    second = batched([2.0, 1.0, 1.0, 8.0], [1, 1, 1, 2], classes=[1, 1, 2, 0])
    found = compared(first, second)
    assert found["pairs"] == 2
    assert found["samples"]["pairs"] == 4
    counted = {name: found["samples"][name] for name in ("without_loss", "not_finite", "other_class", "other_share")}
    assert counted == {"without_loss": 1, "not_finite": 1, "other_class": 1, "other_share": 1}
    assert found["difference"] == pytest.approx(10 / 3 - 2)


def test_pairs_without_shares_have_part_in_the_sums_and_in_nothing_else() -> None:
    """As of a class of weight 0 whose labels are smoothed: they turn the difference round."""
    first = batched([1.0, 2.0, 9.0, 0.0], [1, 1, 0, 0])
    second = batched([1.2, 2.2, 3.0, 0.0], [1, 1, 0, 0])
    found = compared(first, second)
    assert (found["first_loss"], found["second_loss"]) == (6, pytest.approx(3.2))
    assert found["pairs"] == 3
    assert (found["samples"]["pairs"], found["samples"]["without_loss"]) == (4, 2)
    assert found["second"] == {"lower": 0, "equal": 0, "higher": 2}
    summed = compared(first, second, reduction="sum")
    assert summed["difference"] == pytest.approx(-5.6)
    assert summed["second"] == {"lower": 1, "equal": 0, "higher": 2}


class Watched(Samples):
    """Samples that know the threads in which their keys are read; the base class's slots are hidden by none."""

    readers: ClassVar[set[int]] = set()

    def __getattribute__(self, name: str) -> Any:
        if name == "keys":
            Watched.readers.add(threading.get_ident())
        return super().__getattribute__(name)


def test_samples_are_read_beside_the_event_loop_and_ids_only_of_batches_with_listed_samples() -> None:
    made = drawn(600)
    first, second = (batched(made[name], made["w"], size=2) for name in ("v1", "v2"))
    torn = memoryview(b"[")  # no JSON: reading it fails
    watched = [(name, Watched(each.losses, each.shares, each.keys, each.named)) for name, each in first]
    listed = {each["batch_id"] for side in ("improved", "worsened") for each in compared(first, second)[side]}
    told = [(name, each if name in listed else replace(each, named=torn)) for name, each in watched]
    Watched.readers.clear()
    assert compared(told, second) == compared(first, second)
    assert Watched.readers
    assert threading.get_ident() not in Watched.readers


def test_what_changed_most_is_listed_in_both_directions() -> None:
    first, second = np.ones(1000), np.ones(1000)
    second[::2] += np.arange(500) / 100
    second[1::2] -= np.arange(500) / 1000
    found = compared(batched(first), batched(second))
    assert [each["id"] for each in found["worsened"]] == [f"s{2 * place}" for place in range(499, 479, -1)]
    assert [each["id"] for each in found["improved"]] == [f"s{2 * place + 1}" for place in range(499, 479, -1)]
    assert found["second"] == {"lower": 499, "equal": 2, "higher": 499}


def test_a_run_is_equal_to_itself() -> None:
    made = batched(np.random.default_rng(0).lognormal(size=50))
    found = compared(made, made)
    assert (found["difference"], found["standard_error"], found["improved"], found["worsened"]) == (0, 0, [], [])
    assert found["second"] == {"lower": 0, "equal": 50, "higher": 0}
    assert found["bootstrap"]["second_lower"] == 0


def test_one_pair_has_a_difference_without_an_interval() -> None:
    found = compared(batched([1.0]), batched([3.0]))
    assert found["difference"] == 2
    assert found["standard_error"] is found["interval"] is found["bootstrap"] is None


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"loss": "mse_loss"}, "the losses differ: cross_entropy and mse_loss"),
        ({"reduction": "sum"}, "the reductions differ: mean and sum"),
        ({"options": {"label_smoothing": 0.1}}, "the options differ: label_smoothing"),
    ],
)
def test_runs_of_other_losses_are_refused_with_the_reason(other: dict[str, Any], reason: str) -> None:
    stored = stream_of({"a": batched([1.0]), "b": batched([1.0])})
    with pytest.raises(NotComparable) as refused:
        asyncio.run(compare(run("a", 1), run("b", 1, **other), stored))
    assert refused.value.reasons == [reason]


def test_the_type_of_computing_may_differ() -> None:
    stored = stream_of({"a": batched([1.0]), "b": batched([1.0])})
    found = asyncio.run(compare(run("a", 1, dtype="float64"), run("b", 1, dtype="float32"), stored))
    assert found["difference"] == 0


@pytest.mark.parametrize("others", [[], ["x", "y"]])
def test_runs_without_a_common_sample_are_refused(others: list[str]) -> None:
    with pytest.raises(NotComparable, match="no sample is in both runs"):
        compared(batched([1.0, 2.0]), batched([1.0] * len(others), ids=others))
