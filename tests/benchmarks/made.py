"""Measurements made up for the tests: rounds by case, connections and server."""

from collections.abc import Mapping

from benchmarks.http.load import Sample

Rounds = dict[tuple[str, int, str], list[Sample]]


def rounds(rates: Mapping[tuple[str, str], tuple[float, ...]], connections: int = 16) -> Rounds:
    """From requests a second by case and server: p50 is 1 ms, p99 three times that."""
    return {
        (case, connections, server): [Sample(rate, p50_ms=1.0, p99_ms=3.0, requests=100, seconds=1.0) for rate in given]
        for (case, server), given in rates.items()
    }
