"""A run of any loss has the loss of all its samples computed in one call."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.evaluation.batch import Envelope
from schemas.evaluation.cut import cut
from schemas.evaluation.spec import RunSpec
from schemas.evaluation.unreduced import Unreduced
from schemas.losses import LOSSES
from schemas.problem import InvalidRequest
from schemas.request import LossRequest
from schemas.vectors import drafts
from schemas.vectors.plans import companions, plans
from service.compute.batch import compute
from service.compute.operations.register import FUNCTIONS
from service.compute.transfer import open_device
from service.evaluations.adding import new_batch
from service.evaluations.run import NewBatch
from service.evaluations.series import series
from service.evaluations.tally import Tally

DEVICE = open_device("cpu")
COMMON = ("reduction", "cotangent", "cotangents", "gradients", "dtype", "on_empty", "encoding")
Members = dict[str, Any]


def checked(members: Members, reduction: str) -> LossRequest | None:
    """A request of these members; `None` where it is refused."""
    cls = LOSSES[members["loss"]]
    own = {**copy.deepcopy(members), "dtype": "float64", "reduction": reduction, "gradients": []}
    try:
        return cls.model_validate(own)
    except InvalidRequest:
        return None


def requests(cls: type[LossRequest]) -> Iterator[Members]:
    """The example, and requests with each optional tensor and with what is ignored."""
    for plan in plans(cls):
        if plan.kind == "example" or plan.ignored != "none" or plan.tensors:
            for at, one in enumerate([plan, *companions(cls, plan)]):
                members = drawn(cls, one)
                if members is not None:
                    yield members
                    if at:
                        break


def drawn(cls: type[LossRequest], plan: Any) -> Members | None:
    """The first request for the plan that is none to be refused."""
    for source in drafts.SOURCES:
        try:
            members = drafts.draft(cls, plan, source, 0)
        except InvalidRequest:
            continue
        if members is not None:
            kept = {name: value for name, value in members.items() if name not in COMMON}
            if checked(kept, "none") is not None:
                return kept
    return None


def tally_of(batches: list[Members], reduction: str, classes: list[str] | None = None) -> Tally:
    """A run of these batches."""
    options = {name: one for name, one in batches[0].items() if name == "normalization"}
    spec = RunSpec(
        loss=batches[0]["loss"],
        options=options,
        reduction="mean" if reduction == "mean" else "sum",
        classes=classes,
    )
    tally = Tally(spec)
    for at, members in enumerate(batches):
        tally.add(batch_of(members, spec, str(at)).partial)
    return tally


def batch_of(members: Members, spec: RunSpec, batch_id: str = "0", groups: NDArray[np.int32] | None = None) -> NewBatch:
    """What these members add to a run."""
    request = checked(members, "none")
    assert request is not None
    result = FUNCTIONS[Unreduced](Unreduced.of(request), DEVICE)
    return new_batch(request, result, spec, Envelope(batch_id, None, groups, []), cut(request), batch_id, b"")


def equals_one_call(members: Members, batches: list[Members]) -> None:
    """Loss, divisor and counts of a run of the batches are those of one call."""
    for reduction in ("mean", "sum"):
        request = checked(members, reduction)
        if request is None:
            continue
        wanted = compute([request], DEVICE)[0]
        tally = tally_of(batches, reduction)
        told = f"{members} in {len(batches)} batches, {reduction}"
        assert tally.loss == pytest.approx(float(wanted.loss), rel=1e-9, abs=1e-12, nan_ok=True), told
        assert (tally.count, tally.ignored) == (wanted.count, wanted.ignored), told
        if wanted.divisor is not None and reduction == "mean":
            assert tally.divisor == pytest.approx(wanted.divisor, rel=1e-12), told


def parted(members: Members) -> list[Members] | None:
    """A row, then the others, as two batches; `None` where rows depend on each other, or are none."""
    cls = LOSSES[members["loss"]]
    request = checked(members, "none")
    assert request is not None
    checks = request.checked
    rows = checks.layout.unreduced[0] if checks.layout.unreduced else 0
    if rows < 2 or any("Couples the rows" in note for note in cls.about.notes) or cut(request).contributes is None:
        return None
    whole = [name for name in checks.tensors if name in checks.layout.shared or name not in cls.tensor_fields]
    by_row = {
        name: tensor
        for name, tensor in checks.tensors.items()
        if name not in whole and cls.tensor_fields[name].form(checks.layout.form)[:1] != ("C",)
    }
    if any(tensor.shape[:1] != (rows,) for tensor in by_row.values()) or not by_row:
        return None
    return [
        {**members, **{name: np.asarray(tensor)[part] for name, tensor in by_row.items()}}
        for part in (slice(0, 1), slice(1, None))
    ]


@pytest.mark.parametrize("name", [name for name, cls in LOSSES.items() if not cls.made_of_losses])
def test_a_run_of_one_batch_or_of_ragged_ones_is_the_loss_of_one_call(name: str) -> None:
    seen = 0
    for members in requests(LOSSES[name]):
        equals_one_call(members, [members])
        batches = parted(members)
        if batches is not None and all(checked(one, "none") is not None for one in batches):
            equals_one_call(members, batches)
        seen += 1
    assert seen


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_of_a_batch_is_to_the_bit_that_of_a_run_of_it_alone(reduction: Literal["mean", "sum"]) -> None:
    spec = RunSpec(loss="cross_entropy", reduction=reduction)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        logits, weight = rng.normal(size=(32, 4)), rng.random(4)
        members = {"loss": "cross_entropy", "input": logits, "target": rng.integers(0, 4, 32), "weight": weight}
        batch, tally = batch_of(members, spec), Tally(spec)
        tally.add(batch.partial)
        told = {"samples": 32, "loss": tally.loss, "divisor": tally.divisor, "count": 32, "ignored": 0}
        assert batch.answer == told, f"seed {seed}"


def test_the_figures_of_a_batch_tell_what_is_not_finite() -> None:
    members = {"loss": "mse_loss", "input": np.array([1.0, np.inf]), "target": np.zeros(2)}
    assert batch_of(members, RunSpec(loss="mse_loss")).answer["loss"] == math.inf
    members["input"] = np.array([np.nan, np.inf])
    assert math.isnan(batch_of(members, RunSpec(loss="mse_loss", reduction="sum")).answer["loss"])


SEQUENCES: Members = {
    "loss": "grpo_loss",
    "log_probs": np.array([[-1.0, -2.0, -3.0], [-0.5, -1.0, -2.0], [-0.2, -0.3, -1.5]]),
    "old_log_probs": np.array([[-1.1, -2.2, -2.9], [-0.4, -1.2, -2.1], [-0.3, -0.2, -1.0]]),
    "advantages": np.array([1.0, -1.0, 0.5]),
}


@pytest.mark.parametrize(
    "options",
    [
        {"normalization": "grpo"},
        {"normalization": "bnpo"},
        {"normalization": "dr_grpo", "max_completion_length": 4},
        {"normalization": "dr_grpo", "max_completion_length": 2},
        {"normalization": "dapo"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
@pytest.mark.parametrize(
    "mask",
    [[[0, 1, 1], [1, 1, 0], [0, 0, 1]], [[1, 1, 1], [0, 0, 0], [0, 1, 0]], [[0, 0, 0], [1, 1, 1], [1, 0, 0]]],
    ids=("prompts", "a row without any", "a batch without any"),
)
def test_sequences_keep_their_shares_whatever_their_masks(options: Members, mask: list[list[int]]) -> None:
    members = {**SEQUENCES, **options, "mask": np.array(mask, bool)}
    rows = ("log_probs", "old_log_probs", "advantages", "mask")
    batches = [{**members, **{name: members[name][part] for name in rows}} for part in (slice(0, 1), slice(1, 3))]
    equals_one_call(members, [members])
    equals_one_call(members, batches)


NOTHING: list[Members] = [
    {"loss": "cross_entropy", "input": np.ones((2, 3)), "target": np.full(2, -100)},
    {"loss": "cross_entropy", "input": np.full((2, 3), np.nan), "target": np.full(2, -100), "weight": np.ones(3)},
    *[
        {**SEQUENCES, "mask": np.zeros((3, 3), bool), **options}
        for options in (
            {"normalization": "grpo"},
            {"normalization": "bnpo"},
            {"normalization": "dapo"},
            {"normalization": "dr_grpo", "max_completion_length": 4},
        )
    ],
    {**SEQUENCES, "mask": np.zeros((3, 3), bool)},
    {**SEQUENCES, "loss": "gspo_loss", "mask": np.zeros((3, 3), bool)},
    {**SEQUENCES, "loss": "ppo_clip_loss", "mask": np.zeros((3, 3), bool)},
]


@pytest.mark.parametrize("members", NOTHING, ids=lambda one: f"{one['loss']} {one.get('normalization', '')}")
def test_where_nothing_takes_part_a_run_and_its_batches_say_what_one_call_does(members: Members) -> None:
    options = {name: one for name, one in members.items() if name in ("normalization", "max_completion_length")}
    rows = [name for name, value in members.items() if name != "weight" and isinstance(value, np.ndarray)]
    batches = [{**members, **{name: members[name][part] for name in rows}} for part in (slice(0, 1), slice(1, None))]
    for reduction in ("mean", "sum"):
        request = checked(members, reduction)
        assert request is not None
        wanted = float(compute([request], DEVICE)[0].loss)
        spec = RunSpec(loss=members["loss"], options=options, reduction="mean" if reduction == "mean" else "sum")
        tally, sums = Tally(spec), []
        for batch in batches:
            added = batch_of(batch, spec)
            tally.add(added.partial)
            sums.append((len(added.samples), added.sums))
            assert added.answer["loss"] == pytest.approx(wanted, nan_ok=True)
        (point,) = series(sums, len(sums), 1, spec)
        assert point["loss"] == pytest.approx(wanted, nan_ok=True)
        assert tally.loss == pytest.approx(wanted, nan_ok=True)
        assert tally.results()["loss"] == pytest.approx(wanted, nan_ok=True)


def test_a_group_in_which_nothing_takes_part_has_the_loss_of_nothing() -> None:
    spec = RunSpec(loss="grpo_loss", groups=["some", "none"])
    tally = Tally(spec)
    mask = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 0]], bool)
    tally.add(batch_of({**SEQUENCES, "mask": mask}, spec, groups=np.array([0, 1, 1], np.int32)).partial)
    some, none = tally.results()["groups"]
    assert (some["divisor"], none["divisor"], tally.divisor) == (1.0, 0.0, 3.0)
    assert math.isfinite(some["loss"])
    assert math.isnan(none["loss"])


def test_an_anchors_share_is_its_positives() -> None:
    members = {
        "loss": "nt_xent_loss",
        "embeddings": np.random.default_rng(1).normal(size=(6, 3)),
        "labels": np.array([0, 0, 0, 1, 2, 2]),
    }
    equals_one_call(members, [members])
    assert tally_of([members], "mean").divisor == 8


def test_two_means_that_are_added_up_make_a_batch_one_sample() -> None:
    rng = np.random.default_rng(2)
    members = {
        "loss": "contrastive_loss",
        "average": "nonzero",
        "input1": rng.normal(size=(5, 3)),
        "input2": rng.normal(size=(5, 3)),
        "target": np.array([True, False, True, False, True]),
    }
    equals_one_call(members, [members])
    spec = RunSpec(loss="contrastive_loss")
    batch = batch_of(members, spec)
    assert (batch.answer["samples"], batch.answer["divisor"]) == (1, 1.0)
    assert [one.loss for one in batch.partial.hardest] == [batch.answer["loss"]]
    assert batch_of({**members, "average": "pairs"}, spec).answer["samples"] == 5


def test_a_binary_run_may_name_its_positive_class() -> None:
    members = {"loss": "binary_cross_entropy_with_logits", "input": np.array([0.5, 1.0, -1.0])}
    members["target"] = np.array([0.0, 1.0, 0.5])
    found = tally_of([members], "mean", ["spam"]).results()["classes"]
    assert [(each["class"], each["name"], each["count"]) for each in found] == [(0, "not spam", 2), (1, "spam", 1)]
    assert found[1]["loss"] == pytest.approx(math.log1p(math.exp(-1.0)))
