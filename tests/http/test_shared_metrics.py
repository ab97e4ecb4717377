"""Snapshots of several processes: they sum up, those of ended ones too, and files do not pile up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.engine.tally import Histogram
from service.http.metrics.quantiles import quantile
from service.http.metrics.shared import SharedSnapshots
from service.http.metrics.snapshot import Snapshot, from_json, summed

CHILD = """
import sys
from service.http.metrics.shared import SharedSnapshots
from service.http.metrics.snapshot import Snapshot
shared, own = SharedSnapshots(sys.argv[1]), Snapshot()
own.count("gradwire_requests_total", int(sys.argv[2]), "/v1/loss", "POST", "200", "mse_loss")
own.gauge("gradwire_processes", 1)
shared.write(own, 1)
print("told", flush=True)
sys.stdin.read()
"""


def counting(value: float) -> Snapshot:
    """A snapshot with some of everything."""
    made = Snapshot()
    made.count("gradwire_retries_total", value)
    made.gauge("gradwire_processes", 1)
    made.gauge("gradwire_ready", value % 2)
    made.latest("last", value, "mse_loss")
    histogram = Histogram((1.0, 2.0))
    histogram.observe(value)
    made.histogram("gradwire_batch_requests", histogram)
    return made


def test_counters_of_the_ended_stay_and_their_gauges_go() -> None:
    whole = summed([counting(1), counting(2)], [counting(5)])
    assert whole.counted("gradwire_retries_total") == 8
    assert whole.gauged("gradwire_processes") == 2
    assert whole.gauged("gradwire_ready") == 0
    assert whole.latest_of("last", "mse_loss") == 5
    assert whole.histograms["gradwire_batch_requests"][""] == [1, 1, 1, 8.0]


def test_a_snapshot_is_the_same_after_a_file() -> None:
    assert from_json(counting(3).to_json()) == counting(3)
    with pytest.raises(ValueError, match="snapshot"):
        from_json(b'{"counters": {}, "odd": 1}')


def test_a_killed_process_keeps_counting_among_the_ended(tmp_path: Path) -> None:
    mine, other = SharedSnapshots(str(tmp_path)), SharedSnapshots(str(tmp_path))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (3, 4)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "told\n"
    alive, ended = mine.others()
    assert sorted(one.counted("gradwire_requests_total") for one in alive) == [3, 4]
    assert ended.counted("gradwire_requests_total") == 0
    for child in children:
        child.kill()
        child.communicate()
    for shared in (mine, other, mine):  # whoever looks first takes them; nobody counts them twice
        alive, ended = shared.others()
        assert [one.counted("gradwire_requests_total") for one in alive] == []
        assert ended.counted("gradwire_requests_total") == 7
        assert not ended.gauges
    mine.close()
    other.close()
    assert {path.name for path in tmp_path.iterdir() if path.suffix == ".json"} == {"ended.json"}


def test_an_older_snapshot_that_comes_late_is_left(tmp_path: Path) -> None:
    one, other = SharedSnapshots(str(tmp_path)), SharedSnapshots(str(tmp_path))
    one.write(counting(5), 2)
    one.write(counting(4), 1)
    (told,), _ = other.others()
    assert told.counted("gradwire_retries_total") == 5
    one.close()
    other.close()


def test_a_file_that_was_cut_harms_nothing(tmp_path: Path) -> None:
    one, other = SharedSnapshots(str(tmp_path)), SharedSnapshots(str(tmp_path))
    one.write(counting(5), 1)
    (written,) = tmp_path.glob("*.json")
    written.write_bytes(written.read_bytes()[:20])
    assert other.others()[0] == []
    one.close()
    other.close()


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, [0, 0, 0], None),
        (0.5, [4, 0, 0], 0.5),
        (0.5, [2, 2, 0], 1.0),
        (0.75, [2, 2, 0], 2.0),
        (0.99, [0, 0, 7], 3.0),
    ],
)
def test_quantiles_are_those_of_prometheus(share: float, counts: list[float], expected: float | None) -> None:
    """The third bound is passed by what lies above: Prometheus answers the last bound for it."""
    assert quantile(share, (1.0, 3.0), counts) == expected


@pytest.mark.parametrize(
    ("share", "counts", "expected"), [(0.5, [9, 0, 0], 1.0), (0.99, [9, 0, 0], 1.0), (0.75, [2, 2, 0], 2.5)]
)
def test_quantiles_of_whole_numbers_start_at_one(share: float, counts: list[float], expected: float) -> None:
    assert quantile(share, (1.0, 3.0), counts, whole=True) == expected
