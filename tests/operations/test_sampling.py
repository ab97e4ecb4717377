"""Class weights follow their formulas; balanced orders hold every class equally often."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.compute.operations.sampling import splitmix64
from tests.asgi import InProcess, problem_of

WEIGHTS = "/v1/class-weights"
ORDER = "/v1/balanced-order"
DRAWN = settings(max_examples=60, deadline=None, database=None)


def weights(client: InProcess, **members: Any) -> Any:
    return client.answer(None, WEIGHTS, dtype="float64", **members)


def test_balanced_is_what_scikit_learn_answers(client: InProcess) -> None:
    # sklearn.utils.class_weight.compute_class_weight("balanced", classes=[0, 1, 2], y=...) of scikit-learn 1.9.1
    found = weights(client, labels=[0, 0, 0, 0, 1, 1, 2])
    assert found["counts"] == [4, 2, 1]
    np.testing.assert_allclose(
        found["weight"], [0.5833333333333334, 1.1666666666666667, 2.3333333333333335], rtol=1e-15
    )


def test_inverse_is_one_over_the_count(client: InProcess) -> None:
    assert weights(client, counts=[4, 2, 1], method="inverse")["weight"] == [0.25, 0.5, 1.0]


def test_effective_numbers_lie_between_equal_and_inverse(client: InProcess) -> None:
    counts = [1000, 10, 1]
    # (1 - 0.9) / (1 - 0.9**10), by hand
    found = weights(client, counts=counts, method="effective_number", beta=0.9)["weight"]
    np.testing.assert_allclose(found, [0.1, 0.1 / (1 - 0.3486784401), 1.0], rtol=1e-14)
    assert weights(client, counts=counts, method="effective_number", beta=0.0)["weight"] == [1.0, 1.0, 1.0]
    near = weights(client, counts=counts, method="effective_number", beta=1 - 1e-15)["weight"]
    np.testing.assert_allclose(near, [0.001, 0.1, 1.0], rtol=1e-12)


def test_weights_are_normalised_over_the_classes_that_occur(client: InProcess) -> None:
    summed = weights(client, counts=[1, 0, 3], method="inverse", normalize="sum")
    np.testing.assert_allclose(summed["weight"], [0.75, 0.0, 0.25], rtol=1e-15)
    meant = weights(client, counts=[1, 0, 3], method="inverse", normalize="mean")
    np.testing.assert_allclose(meant["weight"], [1.5, 0.0, 0.5], rtol=1e-15)


@DRAWN
@given(counts=st.lists(st.integers(0, 10**12), max_size=20))
def test_balanced_weights_have_mean_1_over_all_samples(client: InProcess, counts: list[int]) -> None:
    found = weights(client, counts=counts)
    assert found["counts"] == counts
    assert [weight > 0 for weight in found["weight"]] == [count > 0 for count in counts]
    if sum(counts):
        np.testing.assert_allclose(np.dot(found["weight"], counts), sum(counts), rtol=1e-12)
    assert bool(found["warnings"]) == (0 in counts)


def test_a_class_that_never_occurs_has_weight_0_and_is_named(client: InProcess) -> None:
    found = weights(client, labels=[0, 2, 2], classes=5)
    assert found["weight"] == [1.5, 0.0, 0.75, 0.0, 0.0]
    assert found["warnings"] == ["classes that never occur have weight 0; 3 of 5: 1, 3, 4"]
    many = weights(client, counts=[0] * 30)
    assert many["warnings"] == ["classes that never occur have weight 0; 30 of 30: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..."]
    assert many["weight"] == [0.0] * 30


def test_what_is_ignored_does_not_count(client: InProcess) -> None:
    plain = weights(client, labels=[1, 1, 2], classes=3)
    assert weights(client, labels=[[1, -100], [1, 2]], classes=3) == plain
    padded = weights(client, labels=[0, 0, 1, 1, 2], classes=3, ignore_index=0)
    assert padded["weight"] == plain["weight"]
    assert padded["warnings"] == []
    assert weights(client, counts=[7, 2, 1], ignore_index=0)["counts"] == [0, 2, 1]


def test_without_samples_there_are_no_classes(client: InProcess) -> None:
    assert weights(client, labels=[])["weight"] == []
    assert weights(client, labels=[-100, -100])["counts"] == []


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({}, ""),
        ({"counts": [1], "labels": [0]}, ""),
        ({"counts": [1, -2]}, "/counts/1"),
        ({"counts": [1.5]}, "/counts/0"),
        ({"counts": [1], "classes": 1}, "/classes"),
        ({"labels": [0, -1]}, "/labels/1"),
        ({"labels": [[0, 3]], "classes": 3}, "/labels/0/1"),
        ({"counts": [1], "method": "best"}, "/method"),
        ({"counts": [1], "beta": 1.0}, "/beta"),
    ],
)
def test_what_makes_no_weights_is_refused(client: InProcess, members: dict[str, Any], where: str) -> None:
    assert client.faults(None, WEIGHTS, **members).keys() == {where}


def test_classes_count_towards_the_limit(client: InProcess) -> None:
    body = b'{"labels": [0, 9000000000000000000]}'
    assert "the limit is 16777216" in problem_of(client.post(body, WEIGHTS), 413)["detail"]
    assert "the limit" in problem_of(client.post(b'{"labels": [0], "classes": 16777216}', WEIGHTS), 413)["detail"]


# Orders.


def by_hand(labels: list[int], keys: list[int] | None, *, interleave: bool) -> list[int]:
    """The order as its description has it, one index at a time."""
    buffers: dict[int, list[int]] = {}
    for at, label in enumerate(labels):
        buffers.setdefault(label, []).append(at)
    if keys is not None:
        for buffer in buffers.values():
            buffer.sort(key=lambda at: keys[at])
    most = max(map(len, buffers.values()), default=0)
    turns = [(r, c) for r in range(most) for c in sorted(buffers)]
    if not interleave:
        turns = [(r, c) for c in sorted(buffers) for r in range(most)]
    return [buffers[c][r % len(buffers[c])] for r, c in turns]


def keys_by_hand(seed: int, count: int) -> list[int]:
    """SplitMix64 in Python's own whole numbers."""
    most = 2**64 - 1
    keys = []
    for i in range(count):
        z = (seed + (i + 1) * 0x9E3779B97F4A7C15) & most
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & most
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & most
        keys.append(z ^ (z >> 31))
    return keys


def test_the_generator_is_splitmix64() -> None:
    # The first outputs from seed 1234567, as https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64 has them.
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert splitmix64(1234567, 5).tolist() == expected == keys_by_hand(1234567, 5)


@DRAWN
@given(
    labels=st.lists(st.integers(-3, 4), max_size=40),
    seed=st.none() | st.integers(0, 2**63 - 1),
    interleave=st.booleans(),
)
def test_an_order_is_what_its_description_says(
    client: InProcess, labels: list[int], seed: int | None, interleave: bool
) -> None:
    members: dict[str, Any] = {} if seed is None else {"seed": seed}
    found = client.answer(None, ORDER, labels=labels, interleave=interleave, **members)
    keys = None if seed is None else keys_by_hand(seed, len(labels))
    assert found["order"] == by_hand(labels, keys, interleave=interleave)
    counts = Counter(labels)
    assert found["classes"] == sorted(counts)
    most = max(counts.values(), default=0)
    np.testing.assert_allclose(found["repeats"], [most / counts[label] for label in sorted(counts)], rtol=1e-6)
    assert Counter(labels[at] for at in found["order"]) == dict.fromkeys(counts, most)
    times = Counter(found["order"])
    assert set(times) == set(range(len(labels))), "nothing is dropped"
    for at, label in enumerate(labels):
        assert most // counts[label] <= times[at] <= -(-most // counts[label])


def test_a_seed_shuffles_and_another_shuffles_otherwise(client: InProcess) -> None:
    labels = [0] * 50 + [1] * 5
    orders = [client.answer(None, ORDER, labels=labels, **more)["order"] for more in ({}, {"seed": 1}, {"seed": 2})]
    assert len({tuple(order) for order in orders}) == 3
    assert orders[1] == client.answer(None, ORDER, labels=labels, seed=1)["order"]


def test_an_order_is_bounded_before_it_is_made(client: InProcess) -> None:
    labels = np.maximum(np.arange(20_000) - 10_000, 0).tolist()
    problem = client.refusal(413, None, ORDER, labels=labels)
    assert problem["errors"][0]["pointer"] == "/labels"
    assert "10000 classes of up to 10001 samples make 100010000 entries" in problem["detail"]


@pytest.mark.parametrize(
    ("members", "where"),
    [({"labels": [[0], [1]]}, "/labels"), ({"labels": [0.5]}, "/labels/0"), ({"labels": [0], "seed": -1}, "/seed")],
)
def test_what_makes_no_order_is_refused(client: InProcess, members: dict[str, Any], where: str) -> None:
    assert client.faults(None, ORDER, **members).keys() == {where}
