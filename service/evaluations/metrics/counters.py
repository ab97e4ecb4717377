"""What metrics count of a batch: cells of bounded number, and exact sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from service.evaluations.exact import Sums, products, sums
from service.evaluations.metrics.scores import Scores

MAX_SCORE_CELLS: Final = 1 << 21
"""Cells that scores of all classes are counted in."""
MAX_SCORE_BINS: Final = 1 << 16
OCTAVES: Final = 32
"""Octaves of probability, below a half and above, that bins tell apart; what is beyond is in the outermost bin."""


class Counter(Protocol):
    """One thing that is counted; metrics that need the same counter share it, by its name."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int:
        """Its cells."""
        ...

    def keys(self, scores: Scores) -> NDArray[np.int64]:
        """The cell of every event; they may repeat."""
        ...

    def sums(self, scores: Scores) -> dict[str, Sums]:
        """Exact sums, by name."""
        ...


class _Counting:
    """A counter without sums."""

    def sums(self, scores: Scores) -> dict[str, Sums]:
        return {}


class _Summing:
    """A counter without cells."""

    size = 0

    def keys(self, scores: Scores) -> NDArray[np.int64]:
        return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Outcomes(_Counting):
    """How often each class was rightly predicted, predicted, there; and how many rows are right as a whole.

    Three cells a class or label, then one.
    """

    classes: int
    threshold: float

    @property
    def name(self) -> str:
        return f"outcomes@{self.threshold!r}"

    @property
    def size(self) -> int:
        return 3 * self.classes + 1

    def keys(self, scores: Scores) -> NDArray[np.int64]:
        c = self.classes
        if scores.task == "multilabel":
            found, there = scores.positive(self.threshold), scores.targets
            right = int(np.count_nonzero((found == there).all(axis=1)))
            parts = [part.nonzero()[1] for part in (found & there, found, there)]
        else:
            found, there = _labels(scores, self.threshold)
            hit = found[found == there]
            right = len(hit)
            parts = [hit, found, there]
        return np.concatenate((parts[0], parts[1] + c, parts[2] + 2 * c, np.full(right, 3 * c)))


@dataclass(frozen=True, slots=True)
class Confusion(_Counting):
    """Rows by class and prediction."""

    classes: int
    threshold: float

    @property
    def name(self) -> str:
        return f"confusion@{self.threshold!r}"

    @property
    def size(self) -> int:
        return self.classes**2

    def keys(self, scores: Scores) -> NDArray[np.int64]:
        found, there = _labels(scores, self.threshold)
        return there * self.classes + found


def _labels(scores: Scores, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The predicted class of each row, and its own."""
    if scores.task == "multiclass":
        return scores.best, scores.targets
    return scores.positive(threshold).astype(np.int64), scores.targets.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Top(_Counting):
    """Rows whose class is among the k best; of equal predictions those of lower classes are better."""

    k: int

    @property
    def name(self) -> str:
        return f"top@{self.k}"

    @property
    def size(self) -> int:
        return 1

    def keys(self, scores: Scores) -> NDArray[np.int64]:
        own = np.take_along_axis(scores.raw, scores.targets[:, None], axis=1)
        above = np.count_nonzero(scores.raw > own, axis=1)
        tied = scores.raw == own
        if np.count_nonzero(tied) > len(tied):
            above += np.count_nonzero(tied & (np.arange(scores.classes) < scores.targets[:, None]), axis=1)
        return np.zeros(np.count_nonzero(above < self.k), np.int64)


@dataclass(frozen=True, slots=True)
class ScoreBins(_Counting):
    """Probabilities by class, by whether the class was there, by bin.

    Bins are as narrow, relative to p, below a half as they are relative to 1 - p above: they part what is almost sure.
    """

    classes: int

    @property
    def name(self) -> str:
        return "score_bins"

    @property
    def bins(self) -> int:
        """A power of two; as many as `MAX_SCORE_CELLS` leaves."""
        return min(MAX_SCORE_BINS, 1 << ((MAX_SCORE_CELLS // (2 * self.classes)).bit_length() - 1))

    @property
    def size(self) -> int:
        return 2 * self.classes * self.bins

    def keys(self, scores: Scores) -> NDArray[np.int64]:
        bins = self.bin_of(scores.probabilities)
        if scores.task == "multiclass":
            there = np.zeros(bins.shape, np.int64)
            np.put_along_axis(there, scores.targets[:, None], 1, axis=1)
        else:
            there = scores.targets.astype(np.int64)
        if bins.ndim == 2:
            there += 2 * np.arange(self.classes)
        return (there * self.bins + bins).ravel()

    def bin_of(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        """The bin of each probability; it never falls where the probability rises."""
        half = self.bins // 2
        steps = half // OCTAVES
        above = probabilities >= 0.5
        near = np.minimum(probabilities, 1 - probabilities)  # 1 - p is exact from a half on
        # The upper bits of a positive float, read as an integer, rise as it does: `steps` to each octave.
        upper = (near + 0.0).view(np.int64) >> (52 - (steps.bit_length() - 1))
        bins = np.clip(upper - (1022 - OCTAVES) * steps, 0, half - 1)
        found: NDArray[np.int64] = np.where(above, self.bins - 1 - bins, bins)
        return found


@dataclass(frozen=True, slots=True)
class Reliability:
    """Rows and right ones by bin of confidence, and the exact sum of confidence in each.

    `binary`: the confidence is the probability of the positive class, and a row is right if it is positive.
    """

    bins: int

    @property
    def name(self) -> str:
        return f"reliability@{self.bins}"

    @property
    def size(self) -> int:
        return 2 * self.bins

    def keys(self, scores: Scores) -> NDArray[np.int64]:
        confidence, right = self._confidence(scores)
        bins = self._bin(confidence)
        return np.concatenate((bins, bins[right] + self.bins))

    def sums(self, scores: Scores) -> dict[str, Sums]:
        confidence, _ = self._confidence(scores)
        return {self.name: sums(self._bin(confidence), confidence)}

    def _bin(self, confidence: NDArray[np.float64]) -> NDArray[np.int64]:
        """Bins are closed below and open above, but the last."""
        edges = np.arange(1, self.bins) / self.bins
        return np.searchsorted(edges, confidence, side="right")

    @staticmethod
    def _confidence(scores: Scores) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        if scores.task == "binary":
            return scores.probabilities, scores.targets
        confidence = scores.probabilities.max(axis=1, initial=0)
        return confidence, scores.best == scores.targets


@dataclass(frozen=True, slots=True)
class Brier(_Summing):
    """The sum over rows of the squared differences of probabilities and what was there (1 or 0)."""

    name: str = "brier"

    def sums(self, scores: Scores) -> dict[str, Sums]:
        p = scores.probabilities
        if scores.task == "multiclass":
            difference = p.copy()
            at = np.arange(len(p)), scores.targets
            difference[at] -= 1
            # A row's squares are added up in float64: the sum of one row does not depend on others.
            rows = (difference * difference).sum(axis=1)
        else:
            rows = (p - scores.targets) ** 2
        return {self.name: sums(np.zeros(len(rows), np.intp), rows)}


@dataclass(frozen=True, slots=True)
class Errors(_Summing):
    """Sums of |error|, error^2, target and target^2; the error is rounded to float64 once, the rest is exact."""

    name: str = "errors"

    def sums(self, scores: Scores) -> dict[str, Sums]:
        targets = np.asarray(scores.targets, np.float64)
        error = scores.raw - targets
        at = np.zeros(len(error), np.intp)
        return {
            "error": sums(at, np.abs(error)),
            "error_squared": products(at, error, error),
            "target": sums(at, targets),
            "target_squared": products(at, targets, targets),
        }
