"""Entropies and divergences are what their definitions say, and hang together as they must."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from schemas.operations.divergences import MEASURES
from tests.asgi import InProcess
from tests.operations.cases import distributions
from tests.operations.wires import computed

ENTROPY = "/v1/entropy"
BOTH = "/v1/divergences"
GIVEN = ("probabilities", "logits", "log_probabilities")


def by_hand(p: Any, q: Any) -> dict[str, float]:
    """The definitions, one term at a time, in Python's floats."""

    def kl(a: Any, b: Any) -> float:
        return math.fsum(x * (math.log(x) - math.log(y)) if y else math.inf for x, y in zip(a, b, strict=True) if x)

    m = [(x + y) / 2 for x, y in zip(p, q, strict=True)]
    return {
        "entropy": math.fsum(-x * math.log(x) for x in p if x),
        "cross_entropy": math.fsum(-x * math.log(y) if y else math.inf for x, y in zip(p, q, strict=True) if x),
        "kl": kl(p, q),
        "reverse_kl": kl(q, p),
        "jensen_shannon": (kl(p, m) + kl(q, m)) / 2,
    }


@pytest.mark.parametrize("base", ["e", "2"])
@pytest.mark.parametrize("given", GIVEN)
def test_measures_are_their_definitions(given: str, base: str) -> None:
    rng = np.random.default_rng(8)
    p, q = (distributions(rng, (40, 6), 1, "probabilities") for _ in "pq")
    if given == "logits":
        p, q = p + 0.01, q + 0.01  # a logit of -infinity is taken too, but then nothing is finite
        p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    with np.errstate(divide="ignore"):
        a, b = (p, q) if given == "probabilities" else (np.log(p), np.log(q))
    found = computed("divergences", {"p": a, "q": b, "given": given, "base": base}).tensors
    unit = math.log(2) if base == "2" else 1.0
    for row in range(40):
        for name, value in by_hand(p[row].tolist(), q[row].tolist()).items():
            np.testing.assert_allclose(found[name,][row], value / unit, rtol=1e-12, atol=1e-14, err_msg=name)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 1e-6)])
@pytest.mark.parametrize("given", GIVEN)
def test_cross_entropy_is_entropy_plus_divergence(given: str, dtype: str, tolerance: float) -> None:
    rng = np.random.default_rng(9)
    p, q = (distributions(rng, (1000, 10), 1, given) for _ in "pq")
    found = computed("divergences", {"p": p, "q": q, "given": given, "dtype": dtype}).tensors
    whole, parts = found["cross_entropy",], found["entropy",] + found["kl",]
    assert np.isfinite(whole).any()
    np.testing.assert_allclose(whole, parts, rtol=tolerance, atol=tolerance)
    bounded = found["jensen_shannon",]
    assert ((bounded >= -tolerance) & (bounded <= math.log(2) + tolerance)).all()
    turned = computed("divergences", {"p": q, "q": p, "given": given, "dtype": dtype}).tensors
    np.testing.assert_array_equal(turned["kl",], found["reverse_kl",])
    np.testing.assert_allclose(turned["jensen_shannon",], bounded, rtol=0, atol=tolerance)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("given", GIVEN)
def test_gradients_are_the_slopes(given: str, measure: str) -> None:
    rng = np.random.default_rng(10)
    p, q = (np.clip(distributions(rng, (3, 4), 1, given), -20, None) for _ in "pq")
    if given == "probabilities":
        p, q = (np.clip(x, 0.01, 0.9) for x in (p, q))
    v = rng.normal(size=3)

    def total(a: torch.Tensor, b: torch.Tensor) -> float:
        members = {"p": a.numpy(), "q": b.numpy(), "given": given}
        return float(computed("divergences", members).tensors[measure,] @ v)

    members = {"p": p, "q": q, "given": given, "cotangents": {measure: v}}
    found = computed("divergences", members).tensors
    for name, at in (("p", p), ("q", q)):
        for spot in np.ndindex(at.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = at.copy()
                moved[spot] += step
                pair = {"p": p, "q": q, name: moved}
                ends.append(total(torch.from_numpy(pair["p"]), torch.from_numpy(pair["q"])))
            slope = (ends[0] - ends[1]) / 2e-6
            np.testing.assert_allclose(found["gradients", name][spot], slope, rtol=1e-5, atol=1e-7)


def test_cotangents_add_up(client: InProcess) -> None:
    own = {"p": [0.2, 0.8], "q": [0.6, 0.4], "dtype": "float64"}
    one = client.answer(None, BOTH, **own, cotangents={"entropy": 2.0})["gradients"]
    other = client.answer(None, BOTH, **own, cotangents={"kl": 3.0})["gradients"]
    both = client.answer(None, BOTH, **own, cotangents={"entropy": 2.0, "kl": 3.0})["gradients"]
    for name in ("p", "q"):
        np.testing.assert_allclose(both[name], np.add(one[name], other[name]), rtol=1e-14)
    assert one["q"] == [0.0, 0.0]
    assert client.answer(None, BOTH, **own)["gradients"] == {}


def test_nothing_times_the_logarithm_of_nothing_is_nothing(client: InProcess) -> None:
    every = dict.fromkeys(MEASURES, 1.0)
    found = client.answer(None, BOTH, p=[1.0, 0.0, 0.0], q=[0.5, 0.5, 0.0], base="2", cotangents=every)
    assert [found[name] for name in MEASURES[:4]] == [0.0, 1.0, 1.0, "Infinity"]
    entropy = client.answer(None, ENTROPY, p=[1.0, 0.0], cotangent=1.0)
    assert (entropy["entropy"], entropy["gradients"]) == (0.0, {"p": [-1.0, 0.0]})
    log = client.answer(None, ENTROPY, p=[0.0, "-Infinity"], given="log_probabilities", cotangent=1.0)
    assert (log["entropy"], log["gradients"]) == (0.0, {"p": [-1.0, 0.0]})
    logits = client.answer(None, ENTROPY, p=[3.0, "-Infinity"], given="logits", cotangent=1.0)
    assert (logits["entropy"], logits["gradients"]) == (0.0, {"p": [0.0, 0.0]})


def test_a_probability_ruled_out_costs_infinitely_much(client: InProcess) -> None:
    found = client.answer(None, BOTH, p=[0.5, 0.5], q=[1.0, 0.0], cotangents={"kl": 1.0})
    assert found["cross_entropy"] == found["kl"] == "Infinity"
    assert found["gradients"]["q"] == [-0.5, "-Infinity"]
    assert 0 < found["jensen_shannon"] < math.log(2)


def test_equal_distributions_differ_by_nothing(client: InProcess) -> None:
    found = client.answer(None, BOTH, p=[[0.1, 0.2, 0.7]], q=[[0.1, 0.2, 0.7]])
    assert found["kl"] == found["reverse_kl"] == found["jensen_shannon"] == [0.0]
    assert found["warnings"] == []


def test_the_uniform_distribution_has_the_greatest_entropy(client: InProcess) -> None:
    found = client.answer(None, ENTROPY, p=[[0.0] * 8, [1e4] * 8], given="logits", base="2", dtype="float64")
    np.testing.assert_allclose(found["entropy"], [3.0, 3.0], rtol=1e-15)


def test_any_dim_can_hold_the_distribution(client: InProcess) -> None:
    p = np.array([[0.25, 0.5], [0.75, 0.5]])
    across = client.answer(None, ENTROPY, p=p.tolist(), dim=0)["entropy"]
    assert across == client.answer(None, ENTROPY, p=p.T.tolist(), dim=-1)["entropy"]


def test_what_does_not_add_up_to_1_is_computed_with_a_warning(client: InProcess) -> None:
    found = client.answer(None, ENTROPY, p=[[0.5, 0.4], [0.5, 0.5]])
    assert found["warnings"] == ["p: 1 of 2 do not add up to 1; computed as they are"]
    rounded = client.answer(None, ENTROPY, p=[0.3333, 0.3333, 0.3334])
    assert rounded["warnings"] == []
    logs = client.answer(None, ENTROPY, p=[0.0, 0.0], given="log_probabilities")
    assert len(logs["warnings"]) == 1


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"p": [0.5, 1.5]}, "/p/1"),
        ({"p": [0.5, "NaN"]}, "/p/1"),
        ({"q": [0.5, 0.25, 0.25]}, "/q"),
        ({"dim": 1}, "/dim"),
        ({"given": "scores"}, "/given"),
        ({"base": 2}, "/base"),
        ({"cotangents": {"kl": [1.0]}}, "/cotangents/kl"),
        ({"cotangents": {"kullback.leibler": 1.0}}, "/cotangents/kullback.leibler"),
        ({"cotangents": [1.0]}, "/cotangents"),
    ],
)
def test_what_cannot_be_compared_is_refused(client: InProcess, members: dict[str, Any], where: str) -> None:
    own = {"p": [0.5, 0.5], "q": [0.5, 0.5]}
    assert client.faults(None, BOTH, **(own | members)).keys() == {where}
