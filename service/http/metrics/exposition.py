"""A snapshot as Prometheus reads it, written by Prometheus's own library, and only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.http.metrics.families import FAMILIES, Family
from service.http.metrics.snapshot import SEPARATOR, Snapshot


def expose(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """The text and its media type: OpenMetrics where `Accept` asks for it, else Prometheus's own form."""
    registry = CollectorRegistry()
    registry.register(_Told(snapshot))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


class _Told(Collector):
    """One scrape's families."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Every family, in the order of the table."""
        for name, family in FAMILIES.items():
            if family.kind == "histogram":
                yield _histogram(name, family, self._snapshot)
            else:
                yield _numbers(name, family, self._snapshot)


def _numbers(name: str, family: Family, snapshot: Snapshot) -> Metric:
    made: CounterMetricFamily | GaugeMetricFamily
    if family.kind == "counter":
        made, series = CounterMetricFamily(name, family.help, labels=family.labels), snapshot.counters.get(name, {})
        if not family.labels and not series:
            series = {"": 0}  # what has never happened is told as well
    else:
        made, series = GaugeMetricFamily(name, family.help, labels=family.labels), snapshot.gauges.get(name, {})
    for key, value in series.items():
        made.add_metric(_labels(family, key), value)
    return made


def _histogram(name: str, family: Family, snapshot: Snapshot) -> Metric:
    made = HistogramMetricFamily(name, family.help, labels=family.labels)
    edges = [*map(str, snapshot.bounds.get(name, ())), "+Inf"]
    for key, (*counts, total) in snapshot.histograms.get(name, {}).items():
        made.add_metric(_labels(family, key), list(zip(edges, accumulate(counts), strict=True)), total)
    return made


def _labels(family: Family, key: str) -> list[str]:
    return key.split(SEPARATOR) if family.labels else []
