"""Two runs over the same samples: how their losses differ, and where.

Every sample is compared with itself, so that what makes it easy or hard drops out, and small differences show that the
runs' own intervals would hide.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.evaluation.task import class_names
from service.evaluations.chunks import Aside, Batches, chunks
from service.evaluations.differences import Differences, difference
from service.evaluations.pairing import NONE, Pairs, Stream, Table, pairs
from service.evaluations.resampling import REPLICATES, Units, interval, replicates

if TYPE_CHECKING:
    from schemas.evaluation.spec import RunSpec
    from service.evaluations.run import Run

CHANGED: Final = 20
"""Samples that are listed in each direction."""


class NotComparable(ValueError):
    """The runs have nothing to compare; `reasons` tell why, each in a sentence."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def reasons_against(first: RunSpec, second: RunSpec) -> list[str]:
    """Why a difference of the runs' losses would mean nothing; none where it means something.

    The type that losses are computed in may differ, and so may all that is computed beside the loss.
    """
    reasons = []
    if first.loss != second.loss:
        reasons.append(f"the losses differ: {first.loss} and {second.loss}")
    if first.reduction != second.reduction:
        reasons.append(f"the reductions differ: {first.reduction} and {second.reduction}")
    if first.loss == second.loss and first.options != second.options:
        unequal = sorted(
            name for name in first.options.keys() | second.options.keys()
            if first.options.get(name) != second.options.get(name)
        )  # fmt: skip
        reasons.append(f"the options differ: {', '.join(unequal)}")
    return reasons


async def compare(first: Run, second: Run, stream: Stream, aside: Aside = asyncio.to_thread) -> dict[str, Any]:
    """What `results` is to a run, for the pairs of two: the second's loss less the first's.

    Raises `NotComparable` where the losses, reductions or options differ, or no sample is in both runs. Memory does not
    grow with the runs; the same samples give the same bits, whatever their order and batches.
    """
    reasons = reasons_against(first.spec, second.spec)
    if reasons:
        raise NotComparable(reasons)
    made = _Comparison(first.spec, second.spec)
    async for part in pairs(first, second, stream, aside):
        await aside(made.add, part)
    if not made.pairs:
        raise NotComparable(["no sample is in both runs: samples pair by `sample_ids`, or by batch id and position"])
    names = await _names(first, stream, made.listed(), aside)
    return await aside(made.results, names)


async def _names(run: Run, stream: Stream, keys: NDArray[np.uint64], aside: Aside) -> dict[int, dict[str, Any]]:
    """The ids, batches and places of some samples, by their keys."""
    found: dict[int, dict[str, Any]] = {}
    if not len(keys):
        return found
    async for chunk in chunks(stream(run.id, run.seq)):
        await aside(_name, chunk, np.sort(keys), found)
    return found


def _name(batches: Batches, keys: NDArray[np.uint64], found: dict[int, dict[str, Any]]) -> None:
    """Those of the samples that are in these batches; `keys` are in order."""
    for batch_id, batch in batches:
        places = np.minimum(np.searchsorted(keys, batch.keys), len(keys) - 1)
        here = np.flatnonzero(keys[places] == batch.keys).tolist()
        if not here:
            continue
        names = batch.ids
        for at in here:
            found[int(batch.keys[at])] = {"id": names and names[at], "batch_id": batch_id, "index": at}


class _Comparison:
    """What is known of the pairs so far."""

    def __init__(self, first: RunSpec, second: RunSpec) -> None:
        self.spec = first
        self.mean = first.reduction == "mean"
        self.classes = class_names(first) if first.classes == second.classes else None
        self.groups = first.groups if first.groups == second.groups else None
        self.units = Units(4)
        self.whole, self.by_class, self.by_group = Differences(), Differences(), Differences()
        self.pairs = self.without_loss = self.not_finite = self.other_class = self.other_share = 0
        self.lower = self.equal = self.higher = 0
        self.alone = np.zeros(4, np.int64)
        self.changed = np.empty(0, [("difference", float), ("key", np.uint64), ("first", float), ("second", float),
                                    ("class", np.int32), ("group", np.int32)])  # fmt: skip

    def add(self, part: Pairs) -> None:
        """Take some pairs."""
        self.alone += [part.first_only, part.second_only, part.first_repeated, part.second_repeated]
        first, second = part.first, part.second
        self.pairs += len(first)
        shared = (first["share"] != 0) & (second["share"] != 0)
        # Without a share in either run a pair has part in the sums all the same, where one of its losses is not 0.
        valued = (first["loss"] != 0) | (second["loss"] != 0)
        has = shared | ((first["share"] == second["share"]) & valued)
        finite = np.isfinite(first["loss"]) & np.isfinite(second["loss"])
        self.without_loss += int((~shared).sum())
        self.not_finite += int((has & ~finite).sum())
        self.other_class += int((first["class"] != second["class"]).sum())
        self.other_share += int((shared & (first["share"] != second["share"])).sum())
        first, second, shared = first[has & finite], second[has & finite], shared[has & finite]
        shares = [side["share"] if self.mean else np.ones(len(side)) for side in (first, second)]
        columns = np.stack([first["loss"], shares[0], second["loss"], shares[1]])
        self.units.add(first["key"], columns)
        self.whole.add(np.zeros(len(first), np.intp), columns)
        for sums, slots in ((self.by_class, first["class"]), (self.by_group, first["group"])):
            chosen = slots != NONE
            sums.add(slots[chosen].astype(np.intp), columns[:, chosen])
        if self.mean:  # what has no share has no loss of its own
            first, second, shares = first[shared], second[shared], [side[shared] for side in shares]
        self._change(first, second, *shares)

    def _change(self, first: Table, second: Table, *shares: NDArray[np.float64]) -> None:
        """Count who is better, and keep what changed most."""
        with np.errstate(all="ignore"):
            own = [side["loss"] / share for side, share in zip((first, second), shares, strict=True)]
            by = own[1] - own[0]
        self.lower += int((by < 0).sum())
        self.equal += int((by == 0).sum())
        self.higher += int((by > 0).sum())
        some = by != 0
        rows = np.empty(int(some.sum()), self.changed.dtype)
        for name, column in {"difference": by, "key": first["key"], "first": own[0], "second": own[1],
                             "class": first["class"], "group": first["group"]}.items():  # fmt: skip
            rows[name] = column[some]
        rows = np.concatenate([self.changed, rows])
        rows = rows[np.lexsort((rows["key"], rows["difference"]))]
        self.changed = np.concatenate([rows[:CHANGED], rows[max(CHANGED, len(rows) - CHANGED) :]])

    def listed(self) -> NDArray[np.uint64]:
        """The keys of the samples that are listed."""
        return self.changed["key"]

    def results(self, names: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
        """All figures; JSON can hold them."""
        level = self.spec.confidence
        whole = difference(self.whole, 0, mean=self.mean, level=level)
        listed = [self._sample(row, names) for row in self.changed]
        return {
            **whole,
            "reduction": self.spec.reduction,
            "bootstrap": self._bootstrap(level),
            "samples": {
                "pairs": self.pairs,
                **dict(zip(("first_only", "second_only", "first_repeated", "second_repeated"), self.alone.tolist(),
                           strict=True)),
                "without_loss": self.without_loss,
                "not_finite": self.not_finite,
                "other_class": self.other_class,
                "other_share": self.other_share,
            },
            "second": {"lower": self.lower, "equal": self.equal, "higher": self.higher},
            "classes": self._slots(self.by_class, self.classes, "class", level),
            "groups": self._slots(self.by_group, self.groups, "group", level),
            "improved": [each for each in listed if each["difference"] < 0][:CHANGED],
            "worsened": [each for each in reversed(listed) if each["difference"] > 0][:CHANGED],
        }  # fmt: skip

    def _slots(
        self, sums: Differences, names: Sequence[str] | None, kind: str, level: float
    ) -> list[dict[str, Any]] | None:
        """The figures of each class or group that has pairs."""
        if names is None or not sums.counts:
            return None
        made = []
        for slot in sorted(sums.counts):
            name: dict[str, Any] = {"group": names[slot]}
            if kind == "class":
                name = {"class": slot, "name": names[slot] if slot < len(names) else str(slot)}
            made.append({**name, **difference(sums, slot, mean=self.mean, level=level)})
        return made

    def _bootstrap(self, level: float) -> dict[str, Any] | None:
        """Both runs' losses on the same resampled data sets."""
        if self.units.samples < 2:
            return None
        scale = 1 if self.mean else self.units.samples
        totals = self.units.totals()
        with np.errstate(all="ignore"):  # sums beyond float64 have no interval
            found = replicates(totals, lambda sums: float(scale * (sums[2] / sums[3] - sums[0] / sums[1])))
        ends = interval(found, level)
        if ends is None:
            return None
        return {
            "level": level,
            "low": ends[0],
            "high": ends[1],
            "second_lower": float((found < 0).mean()),
            "replicates": REPLICATES,
            "units": totals.shape[1],
        }

    def _sample(self, row: Any, names: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
        number, group = int(row["class"]), int(row["group"])
        return {
            **names.get(int(row["key"]), {"id": None, "batch_id": None, "index": None}),
            "first": float(row["first"]),
            "second": float(row["second"]),
            "difference": float(row["difference"]),
            "class": None if number == NONE else number,
            "group": None if group == NONE or self.groups is None else self.groups[group],
        }
