"""What one process, or all of them together, have to tell: plain numbers, by family and label values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import add

import orjson

from service.engine.tally import Histogram
from service.http.metrics.families import FAMILIES

Labels = tuple[str, ...]

SEPARATOR = "\t"
"""Between the values of the labels in a key. No value holds one: they come from lists that are known beforehand."""


@dataclass
class Snapshot:
    """Counters, gauges and histograms: by the family's name, then by the values of its labels, joined.

    A histogram is its buckets' counts (not cumulated) with the sum behind them; its bounds stand in `bounds` once.
    """

    counters: dict[str, dict[str, float]] = field(default_factory=dict)
    gauges: dict[str, dict[str, float]] = field(default_factory=dict)
    histograms: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    bounds: dict[str, list[float]] = field(default_factory=dict)
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    """When something happened last, in seconds since 1970: the latest over all processes, ended ones too."""

    def count(self, family: str, value: float, *labels: str) -> None:
        """Add to a counter."""
        of = self.counters.setdefault(family, {})
        key = SEPARATOR.join(labels)
        of[key] = of.get(key, 0) + value

    def gauge(self, family: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        self.gauges.setdefault(family, {})[SEPARATOR.join(labels)] = value

    def histogram(self, family: str, histogram: Histogram, *labels: str) -> None:
        """Add a histogram to what is there under these labels."""
        self.bounds[family] = list(histogram.bounds)
        _add(
            self.histograms.setdefault(family, {}),
            SEPARATOR.join(labels),
            [*map(float, histogram.counts), histogram.sum],
        )

    def latest(self, name: str, at: float, *labels: str) -> None:
        """Tell when something happened last."""
        self.times.setdefault(name, {})[SEPARATOR.join(labels)] = at

    def latest_of(self, name: str, *labels: str) -> float:
        """When it happened last; 0 for never."""
        return self.times.get(name, {}).get(SEPARATOR.join(labels), 0.0)

    def total(self, family: str, *labels: str) -> float:
        """A histogram's sum."""
        return self.histograms.get(family, {}).get(SEPARATOR.join(labels), [0.0])[-1]

    def counted(self, family: str, *labels: str) -> float:
        """A counter's value; of all its series where no labels are given."""
        of = self.counters.get(family, {})
        return of.get(SEPARATOR.join(labels), 0) if labels else sum(of.values())

    def gauged(self, family: str) -> float:
        """The value of a gauge without labels; 0 where nobody told it."""
        return self.gauges.get(family, {}).get("", 0)

    def to_json(self) -> bytes:
        """For a file."""
        return orjson.dumps(self)


def from_json(text: bytes) -> Snapshot:
    """What `to_json` wrote. Raises `ValueError` for anything else."""
    try:
        return Snapshot(**orjson.loads(text))
    except TypeError as error:
        raise ValueError("no snapshot") from error


def summed(alive: Sequence[Snapshot], ended: Sequence[Snapshot] = ()) -> Snapshot:
    """All processes' counters and histograms, those of ended ones too; the gauges of the living alone."""
    whole = Snapshot()
    for one in (*alive, *ended):
        _merge(whole.counters, one.counters, lambda _: add)
        _merge(whole.times, one.times, lambda _: max)
        for family, histograms in one.histograms.items():
            whole.bounds[family] = one.bounds[family]
            for key, told in histograms.items():
                _add(whole.histograms.setdefault(family, {}), key, told)
    for one in alive:
        _merge(whole.gauges, one.gauges, _over_all)
    return whole


Join = Callable[[float, float], float]


def _over_all(family: str) -> Join:
    """How several processes' values of a gauge become one."""
    kind = FAMILIES[family].over_all if family in FAMILIES else "sum"
    joins: dict[str, Join] = {"sum": add, "min": min, "max": max}
    return joins[kind]


def _merge(whole: dict[str, dict[str, float]], one: dict[str, dict[str, float]], joined: Callable[[str], Join]) -> None:
    for family, series in one.items():
        into, join = whole.setdefault(family, {}), joined(family)
        for key, value in series.items():
            into[key] = join(into[key], value) if key in into else value


def _add(series: dict[str, list[float]], key: str, told: list[float]) -> None:
    before = series.get(key)
    series[key] = list(told) if before is None else [a + b for a, b in zip(before, told, strict=True)]
