"""What a batch adds to its run (a stand-in of the store's branch)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from service.evaluations.exact import Sums


@dataclass(slots=True)
class Partial:
    """Exact sums of one batch."""

    values: Sums
    shares: Sums
    samples: int
    count: int
    ignored: int

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(
            [self.values.get(0, 0), self.shares.get(0, 0), self.samples, self.count, self.ignored]
        ).encode()

    @classmethod
    def decode(cls, data: bytes) -> Partial:
        """What `encode` wrote."""
        values, shares, samples, count, ignored = json.loads(data)
        return cls({0: values}, {0: shares}, samples, count, ignored)
