"""What Gradwire must reach, each figure against another of the same run."""

from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.http.cases import CASES
from benchmarks.http.servers import SUBJECT

Rate = Literal["requests/s", "losses/s"]
# The peer with the most requests a second, of the services as documented and of the bare ones.
BEST_PEER = "the best peer"
BEST_BARE_PEER = "the best bare peer"


@dataclass(frozen=True)
class Figure:
    """A median over the rounds. `server` may be `BEST_PEER` or `BEST_BARE_PEER`."""

    case: str
    connections: int
    server: str
    kind: Rate | Literal["p50", "p99"]


@dataclass(frozen=True)
class Goal:
    """`ours` divided by `theirs`: at least `bound` for rates, at most `bound` for latencies; without one, told only."""

    ours: Figure
    theirs: Figure
    bound: float | None

    @property
    def is_a_rate(self) -> bool:
        return self.ours.kind in {"requests/s", "losses/s"}

    def is_met(self, ratio: float) -> bool:
        if self.bound is None:
            return True
        return ratio >= self.bound if self.is_a_rate else ratio <= self.bound


def _faster(
    case: str,
    bound: float | None,
    than: str,
    *,
    in_case: str | None = None,
    connections: int = 16,
    kind: Rate = "requests/s",
) -> Goal:
    """More requests (or losses) a second than another server, in the same case unless another is named."""
    ours = Figure(case, connections, SUBJECT, kind)
    return Goal(ours, replace(ours, case=in_case or case, server=than), bound)


def _quick(case: str, bound: float | None, than: str, connections: int) -> Goal:
    ours = Figure(case, connections, SUBJECT, "p50")
    return Goal(ours, replace(ours, server=than), bound)


def _steady(case: str, bound: float) -> Goal:
    """No long tail: p99 against p50."""
    ours = Figure(case, 16, SUBJECT, "p99")
    return Goal(ours, replace(ours, kind="p50"), bound)


# At 16 connections, how far ahead of the best peer; 2.5 where small requests or a small wire leave room for it.
_AHEAD = {"json-1x10": 2.5, "json-32x1000": 1.4, "binary-1x10": 1.4, "binary-32x1000": 2.5, "binary-64x32000": 1.4}

GOALS = (
    _faster("json-1x10", 3, "naive"),
    _faster("json-1x10", None, "naive typed"),
    _quick("json-1x10", 1.5, "naive", connections=1),
    _quick("json-1x10", 1.5, "naive typed", connections=1),
    _faster("json-32x1000", 25, "naive"),
    _faster("json-32x1000", None, "naive typed"),
    _faster("binary-32x1000", 200, "naive", in_case="json-32x1000"),
    _faster("binary-32x1000", None, "naive typed", in_case="json-32x1000"),
    _faster("binary-32x1000", 0.35, "echo"),
    _faster("binary-64x32000", 0.6, "echo"),
    *(_faster(case, bound, BEST_PEER) for case, bound in _AHEAD.items()),
    *(_faster(case, 1.5, BEST_PEER, connections=1) for case in _AHEAD),
    # Told only: services that nobody writes who picks a framework for what it does.
    *(_faster(case, None, BEST_BARE_PEER) for case in _AHEAD),
    *(_faster(case, None, BEST_BARE_PEER, connections=1) for case in _AHEAD),
    _faster("json-batch", 10, SUBJECT, in_case="json-1x10", kind="losses/s"),
    _faster("binary-batch", None, SUBJECT, in_case="json-1x10", kind="losses/s"),
    *(_steady(case.name, 4) for case in CASES),
)
