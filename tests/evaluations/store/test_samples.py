"""Samples are stored to the bit, read a bounded part at a time, and their sums are exact."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from schemas.evaluation.spec import RunSpec
from service.evaluations.partial import partial_of
from service.evaluations.refusals import NoSuchRun
from service.evaluations.samples import Samples, keys_of
from service.evaluations.series import packed, series
from service.evaluations.store import batches, tables
from tests.evaluations.batches import scored_of
from tests.evaluations.store.opened import SPEC, Opened, batch, losses_of

N = 100


def drawn(seed: int) -> Samples:
    """Columns of all kinds."""
    draw = np.random.default_rng(seed)
    return Samples(
        draw.normal(size=N) * 10.0 ** draw.integers(-300, 300, N),
        draw.random(N),
        draw.integers(0, 1 << 63, N, dtype=np.uint64),
        [f"ü{number}" for number in range(N)],
        draw.integers(-1, 5, N, dtype=np.int32),
        draw.integers(-1, 1000, N, dtype=np.int32),
    )


def test_columns_come_back_to_the_bit() -> None:
    whole = drawn(1)
    odd = np.array([math.nan, math.inf, -math.inf, -0.0, 5e-324])
    empty = Samples(np.zeros(0), np.zeros(0), np.zeros(0, np.uint64))
    for made in (
        whole,
        replace(whole, named=None, groups=None),
        replace(whole, classes=None, shares=np.full(N, 0.1)),
        Samples(odd, -odd, keys_of("b", 5, None)),
        empty,
    ):
        found = Samples.decode(made.encode())
        assert len(found) == len(made)
        assert found.ids == made.ids
        for name in ("losses", "shares", "keys", "groups", "classes"):
            one, other = getattr(found, name), getattr(made, name)
            assert (one is None) == (other is None)
            if one is not None:
                assert one.dtype == other.dtype
                assert one.tobytes() == other.tobytes(), name


def test_samples_of_another_version_are_refused() -> None:
    data = bytearray(drawn(1).encode())
    data[0] = 2
    with pytest.raises(ValueError, match="version 2"):
        Samples.decode(bytes(data))


def test_keys_are_of_ids_alone_and_else_of_batch_and_position() -> None:
    ids = ["a", "b", "c"]
    assert keys_of("x", 3, ids).tolist() == keys_of("y", 3, ids).tolist()
    assert keys_of("x", 2, ids[1:]).tolist() == keys_of("x", 3, ids)[1:].tolist()
    assert keys_of("x", 3, None)[:2].tolist() == keys_of("x", 2, None).tolist()
    assert len({*keys_of("x", 10_000, None).tolist(), *keys_of("y", 10_000, None).tolist()}) == 20_000


def test_keys_stay_as_they_are() -> None:
    """They are stored: another hash would part one sample's keys in two runs."""
    assert keys_of("", 0, ["a"]).tolist() == [0xE6C632B61E964E1F]
    assert keys_of("b0", 3, None).tolist() == KNOWN


KNOWN = [11391268068730152498, 12960813727055728121, 7048035867326021592]


def test_samples_are_read_in_commit_order_up_to_a_batch(store: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = store.run()
    for number in (3, 0, 2, 1):
        store.add(run_id, batch(number, samples=50))
    monkeypatch.setattr(batches, "COLUMN_BYTES", 2000)  # two batches of them
    monkeypatch.setattr(batches, "ROWS", 3)

    async def read(through: int | None) -> list[tuple[str, Samples]]:
        return [one async for one in store.face.samples(run_id, through)]

    found = store(read(None))
    assert [batch_id for batch_id, _ in found] == ["b3", "b0", "b2", "b1"]
    for (_, samples), number in zip(found, (3, 0, 2, 1), strict=True):
        assert samples.losses.tobytes() == losses_of(number, 50).tobytes()
    assert [batch_id for batch_id, _ in store(read(3))] == ["b3", "b0", "b2"]
    assert store(read(0)) == []


def test_no_more_samples_are_read_at_once_than_a_few_megabytes_or_one_batch(store: Opened) -> None:
    run_id = store.run()
    store.add(run_id, *[batch(number, samples=200_000) for number in range(6)])
    with store.face._database.read() as connection:
        sizes = []
        after = 0
        while found := batches.columns(connection, run_id, after, 6):
            after = found[-1][0]
            sizes.append(sum(len(data) for _, _, data in found))
    assert sum(sizes) > 6 * 16 * 200_000
    assert max(sizes) <= batches.COLUMN_BYTES


def test_a_series_goes_by_ids_and_its_figures_are_exact(store: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "ROWS", 4)
    run_id = store.run()
    numbers = list(range(23))
    store.add(run_id, *[batch(number) for number in numbers[::-1]])
    for points in (1, 5, 22, 23, 200):
        made = store(store.face.series(run_id, points))
        assert len(made) == min(points, 23)
        assert sum(one["batches"] for one in made) == 23
        assert {one["batches"] for one in made} <= {23 // len(made), -(-23 // len(made))}
        at = 0
        for one in made:
            held = np.concatenate([losses_of(number) for number in numbers[at : at + one["batches"]]])
            at += one["batches"]
            assert (one["samples"], one["divisor"]) == (len(held), len(held))
            assert one["loss"] == float(sum(map(Fraction, held.tolist()), Fraction(0)) / len(held))
    assert [one["batches"] for one in store(store.face.series(run_id, 2, through=5))] == [3, 2]


def test_a_series_of_no_batches_is_empty(store: Opened) -> None:
    assert store(store.face.series(store.run())) == []


def test_sums_that_are_not_finite_are_told_as_such() -> None:
    def point(losses: list[float], spec: RunSpec = SPEC) -> float:
        moments = partial_of(spec, scored_of(np.array(losses))).moments()
        (made,) = series([(len(losses), packed(moments, void=False))], 1, 1, spec)
        return float(made["loss"])

    assert point([1.0, math.inf]) == math.inf
    assert point([-math.inf, 1.0]) == -math.inf
    assert math.isnan(point([math.inf, -math.inf]))
    assert math.isnan(point([math.nan, math.inf]))
    assert math.isnan(point([]))
    assert point([1e308, 1e308, -1e308]) == float(Fraction(1e308) / 3)
    assert point([0.5, 0.25], RunSpec(loss="mse_loss", reduction="sum")) == 0.75


def test_reading_holds_no_writer_up(store: Opened) -> None:
    run_id = store.run()
    store.add(run_id, batch(0), batch(1))

    async def amid() -> list[str]:
        found = []
        async for batch_id, _ in store.face.samples(run_id):
            found.append(batch_id)
            await asyncio.wait_for(store.face.add(run_id, None, batch(len(found) + 1)), 60)
        return found

    assert store(amid()) == ["b0", "b1"]


def test_a_run_that_is_deleted_while_it_is_read_is_no_shorter_run(
    store: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "ROWS", 3)
    monkeypatch.setattr(batches, "COLUMN_BYTES", 1)  # a batch at a time
    for some in (False, True):  # rows are taken away from the first on
        run_id = store.run()
        store.add(run_id, *[batch(number) for number in range(8)])

        async def amid(run_id: str = run_id, some: bool = some) -> int:  # of the loop
            found = 0
            async for _ in store.face.samples(run_id):
                found += 1
                if found == 2:
                    with store.face._database.write() as connection:
                        gone = tables.batches.c.run_id == run_id
                        connection.execute(
                            tables.batches.delete().where(gone, tables.batches.c.seq <= 5 if some else gone)
                        )
            return found

        with pytest.raises(NoSuchRun):
            store(amid())
        with pytest.raises(NoSuchRun):
            store(store.face.series(run_id))
