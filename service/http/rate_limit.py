"""What a caller is told of the limits that it met: `RateLimit-Policy`, `RateLimit` and `Retry-After`.

The first two are those of draft-ietf-httpapi-ratelimit-headers (11): lists of policies by name. A policy is a quota
`q`, counted in `qu` (requests, where that is left out), over a window of `w` seconds; where it stands is what remains,
`r`, and the seconds until more does, `t`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Final, NamedTuple

LONGEST: Final = 60
"""Seconds that `Retry-After` tells at most: a measured rate says little of what comes later."""

SPREAD: Final = 0.5
"""The share of a wait that is added at random: callers that were refused together do not come back together."""


class Policy(NamedTuple):
    """A limit by its name. `unit`: what the quota counts, where not requests; `window` in seconds."""

    name: str
    quota: int
    window: int | None = None
    unit: str | None = None


class Standing(NamedTuple):
    """Where a caller stands with a policy: what remains of the quota, and the seconds until more does."""

    policy: Policy
    remaining: int
    reset: int | None = None


def fields(standings: Iterable[Standing]) -> dict[str, str]:
    """Both fields, each with an entry for every policy."""
    policies, stands = [], []
    for policy, remaining, reset in standings:
        policies.append(in_words(policy))
        stands.append(standing(policy.name, remaining, reset))
    return {"ratelimit-policy": ", ".join(policies), "ratelimit": ", ".join(stands)}


def in_words(policy: Policy) -> str:
    """A policy's entry in `RateLimit-Policy`."""
    unit = "" if policy.unit is None else f';qu="{policy.unit}"'
    window = "" if policy.window is None else f";w={policy.window}"
    return f'"{policy.name}";q={policy.quota}{unit}{window}'


def standing(name: str, remaining: int, reset: int | None) -> str:
    """Its entry in `RateLimit`."""
    return f'"{name}";r={remaining}' + ("" if reset is None else f";t={reset}")


def retry_after(seconds: float) -> int:
    """Whole seconds to wait before the next try, given those that it takes until one may succeed: 1 to 60.

    Never fewer than given, up to half as many more.
    """
    spread = seconds * (1 + SPREAD * random.random())  # noqa: S311 - no secret
    return max(1, min(LONGEST, math.ceil(spread)))
