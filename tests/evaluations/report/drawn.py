"""Reports of random data, computed plainly: what the service would answer for a model that is somewhat good."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.evaluations.comparison import compare
from tests.evaluations.stored import batched, stream_of
from tests.evaluations.stored import run as stored

Array = NDArray[Any]
ANIMALS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def run(**members: Any) -> dict[str, Any]:
    """A run as JSON shows it."""
    return {
        "id": "ev_01j9zq3v5x8k2m4n6p7r9stvwx",
        "name": "resnet-50 on validation",
        "loss": "cross_entropy",
        "options": {"label_smoothing": 0.1},
        "reduction": "mean",
        "dtype": "float64",
        "metrics": [],
        "classes": None,
        "groups": None,
        "tags": {"commit": "a1b2c3d", "dataset": "cifar-10"},
        "expected_samples": None,
        "state": "sealed",
        "created_at": "2026-03-04T09:12:44Z",
        "updated_at": "2026-03-04T09:14:02Z",
        "sealed_at": "2026-03-04T09:14:02Z",
        "batches": 20,
        "samples": 20_000,
        "stored_bytes": 1_234_567,
        **members,
    }


def report(classes: int = 10, samples: int = 20_000, seed: int = 0, names: list[str] | None = None) -> dict[str, Any]:
    """A whole report of a classifier."""
    draws = np.random.default_rng(seed)
    names = names or (ANIMALS if classes == 10 else [f"class {at:03}" for at in range(classes)])
    target = draws.integers(0, classes, samples)
    skill = draws.uniform(0.5, 1.6, classes)[target] * 1.4 * np.log(classes + 2)
    logits = draws.normal(size=(samples, classes)) * 1.8
    logits[np.arange(samples), target] += skill
    near = (target + draws.choice([1, 2], samples, p=[0.75, 0.25])) % classes
    logits[np.arange(samples), near] += draws.uniform(0, 2, samples)
    exps = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = exps / exps.sum(1, keepdims=True)
    losses = -np.log(probabilities[np.arange(samples), target])
    groups = draws.integers(0, 4, samples)
    losses = losses * (1 + 0.1 * groups)
    predicted = probabilities.argmax(1)
    error = float(losses.std(ddof=1) / np.sqrt(samples))
    mean = float(losses.mean())
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (target, predicted), 1)
    hardest = np.argsort(-losses, kind="stable")[:100]
    group_names = ["en", "de", "fr", "日本語"]
    results = {
        "loss": mean,
        "reduction": "mean",
        "sum": float(losses.sum()),
        "divisor": float(samples),
        "standard_error": error,
        "interval": {"level": 0.95, "low": mean - 1.96 * error, "high": mean + 1.96 * error, "method": "normal"},
        "samples": samples,
        "batches": 20,
        "count": samples,
        "ignored": 0,
        "not_finite": {"nan": 0, "positive_infinity": 0, "negative_infinity": 0},
        "sample_loss": spread(losses),
        "classes": [{"class": at, "name": name, **figures(losses[target == at])} for at, name in enumerate(names)],
        "groups": [
            {"group": name, **figures(losses[groups == at]), "samples": int((groups == at).sum())}
            for at, name in enumerate(group_names)
        ],
        "hardest": [
            {
                "id": f"val/{int(at):05}.png",
                "batch_id": f"b{int(at) // 1000}",
                "index": int(at) % 1000,
                "loss": float(losses[at]),
                "class": int(target[at]),
                "group": group_names[groups[at]],
            }
            for at in hardest
        ],
        "metrics": metrics(probabilities, target, predicted, confusion, names),
        "bootstrap": {
            "level": 0.95,
            "low": mean - 1.94 * error,
            "high": mean + 1.98 * error,
            "replicates": 1000,
            "units": 4096,
        },
        "series": [
            {"batches": 1, "samples": len(part), "loss": float(part.mean()), "divisor": float(len(part))}
            for part in np.array_split(losses, 80)
        ],
    }
    return {"evaluation": run(classes=names, groups=group_names, samples=samples), "results": results}


def figures(losses: Array) -> dict[str, Any]:
    """The figures of one class or group."""
    n = len(losses)
    return {
        "loss": float(losses.mean()) if n else "NaN",
        "standard_error": float(losses.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
        "divisor": float(n),
        "count": n,
    }


def spread(losses: Array) -> dict[str, Any]:
    """Quantiles, and a histogram whose last bar holds the tail."""
    cuts = [0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]
    edges = np.append(np.linspace(losses.min(), np.quantile(losses, 0.99), 41), losses.max())
    return {
        "min": float(losses.min()),
        "max": float(losses.max()),
        "relative_accuracy": 0.005,
        "quantiles": [{"q": q, "value": float(np.quantile(losses, q))} for q in cuts],
        "histogram": {"edges": edges.tolist(), "counts": np.histogram(losses, edges)[0].tolist()},
    }


def metrics(
    probabilities: Array, target: Array, predicted: Array, confusion: Array, names: list[str]
) -> dict[str, Any]:
    """The metrics that reports show in one way or another."""
    classes, n = len(names), len(target)
    right = predicted == target
    hit = np.diag(confusion)
    precision = hit / np.maximum(confusion.sum(0), 1)
    recall = hit / np.maximum(confusion.sum(1), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    ranks = probabilities.argsort(0).argsort(0) + 1
    positives = np.maximum(confusion.sum(1), 1)
    above = np.array([ranks[target == at, at].sum() for at in range(classes)]) - positives * (positives + 1) / 2
    auroc = above / np.maximum(positives * (n - positives), 1)
    weights = confusion.sum(1) / n

    def averages(values: Array) -> dict[str, Any]:
        return {
            "micro": float(right.mean()),
            "macro": float(values.mean()),
            "weighted": float(values @ weights),
            "per_class": values.tolist(),
        }

    confidence = probabilities.max(1)
    edges = np.linspace(0, 1, 16)
    place = np.clip(np.digitize(confidence, edges) - 1, 0, 14)
    bins: list[dict[str, Any]] = []
    for at in range(15):
        chosen = place == at
        some = bool(chosen.any())
        bins.append(
            {
                "low": float(edges[at]),
                "high": float(edges[at + 1]),
                "count": int(chosen.sum()),
                "confidence": float(confidence[chosen].mean()) if some else None,
                "accuracy": float(right[chosen].mean()) if some else None,
            }
        )
    gaps = [abs(each["confidence"] - each["accuracy"]) for each in bins if each["count"]]
    shares = [each["count"] / n for each in bins if each["count"]]
    top = np.sort(probabilities, 1)[:, -min(5, classes)]
    return {
        "accuracy": float(right.mean()),
        "top_k_accuracy": {"k": 5, "value": float((probabilities[np.arange(n), target] >= top).mean())},
        "balanced_accuracy": float(recall.mean()),
        "precision": averages(precision),
        "recall": averages(recall),
        "f1": averages(f1),
        "auroc": {
            "macro": float(auroc.mean()),
            "weighted": float(auroc @ weights),
            "per_class": auroc.tolist(),
            "error_bound": 2e-6,
        },
        "calibration_error": {"expected": float(np.dot(gaps, shares)), "maximum": float(max(gaps)), "bins": bins},
        "confusion_matrix": {"classes": names, "counts": confusion.tolist()},
        "brier_score": float(((probabilities - np.eye(classes)[target]) ** 2).sum(1).mean()),
    }


def comparison(seed: int = 0) -> dict[str, Any]:
    """The comparison of two runs over 5,000 samples."""
    draws = np.random.default_rng(seed)
    classes, groups = draws.integers(0, 10, 5000), draws.integers(0, 3, 5000)
    first = draws.lognormal(size=5000)
    second = first - 0.04 + 0.15 * (classes == 3) + draws.normal(scale=0.3, size=5000)
    spec = {"classes": ANIMALS, "groups": ["en", "de", "fr"]}
    sides = {
        "a": batched(first, classes=classes, groups=groups),
        "b": batched(second[:4990], classes=classes[:4990], groups=groups[:4990]),
    }
    held = asyncio.run(compare(stored("a", 5000, **spec), stored("b", 4990, **spec), stream_of(sides)))
    return {
        "first": run(name="resnet-50"),
        "second": run(name="convnext-tiny", id="ev_01j9zq3v5x8k2m4n6p7r9stvwy"),
        "comparison": held,
    }
