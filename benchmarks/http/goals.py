"""What Gradwire must reach, each against another server in the same run."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Goal:
    """Gradwire's figure divided by `against`'s: at least `bound` in requests a second, at most `bound` in p50."""

    case: str
    connections: int
    figure: Literal["requests/s", "p50"]
    against: str
    bound: float

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.bound if self.figure == "requests/s" else ratio <= self.bound

    @property
    def words(self) -> str:
        return f"at {'least' if self.figure == 'requests/s' else 'most'} {self.bound:g} times"


GOALS = (
    Goal("json-1x10", 16, "requests/s", "naive", 2.5),
    Goal("json-1x10", 16, "requests/s", "naive typed", 2.5),
    Goal("json-32x1000", 16, "requests/s", "naive", 20),
    Goal("json-1x10", 1, "p50", "naive", 1.5),
    Goal("json-1x10", 1, "p50", "naive typed", 1.5),
)
