"""What the kernel tells of this process, read by Prometheus's own library from /proc."""

from __future__ import annotations

from prometheus_client.process_collector import ProcessCollector

from service.http.metrics.families import FAMILIES
from service.http.metrics.snapshot import Snapshot

_COLLECTOR = ProcessCollector(registry=None)


def told_by_kernel(snapshot: Snapshot) -> None:
    """Add memory, processor time, file descriptors and the start time; nothing where there is no /proc."""
    for metric in _COLLECTOR.collect():
        for sample in metric.samples:
            if FAMILIES[sample.name].kind == "counter":
                snapshot.count(sample.name, sample.value)
            else:
                snapshot.gauge(sample.name, sample.value)
