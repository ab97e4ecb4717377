"""What gets in: requests and bytes in flight over the whole process, and how long the queue may be.

A request is refused before its body is read: with 429 where too many others are in flight or the engine's queue would
take too long, with 503 where there is no memory for it beside the others. What it holds is a `Claim`: at first what its
`Content-Length` makes likely, then what has come of its body, what it takes to be computed once that is known, and at
last its answer until that has left (docs/adr/0012-admission.md).

The event loop alone uses all of this: plain numbers without a lock.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final, NoReturn, Protocol

from starlette.types import Scope

from schemas.footprint import footprint
from schemas.tensor_request import TensorRequest
from service.engine.base import Load
from service.http.problems import HTTPProblem
from service.http.rate_limit import Policy, Standing, fields, retry_after
from service.settings import Settings

SCOPE_KEY: Final = "gradwire.claim"
BASE_BYTES: Final = 32 << 10
"""What any request holds: its task, its head, and what is too little to be counted."""
AT_ONCE: Final = 64 << 10
"""Bytes of a body that are claimed before they come; of a longer one, more as they come. A caller who announces much
and sends nothing holds no more than this."""
DISCARDED: Final = 1 << 20
"""Bytes of a refused body that are read and thrown away; a longer one ends its connection."""

NARROW: Final = 18
WIDE: Final = 27
"""Bytes of text that a number takes at most: one of up to 32 bits, and of 64, with its comma and brackets."""
SMALL_TEXT: Final = 1 << 20
COPIES: Final = 3
"""A text from that size on may be in the making while others are, in as many copies where numbers are not finite."""
MEMBER: Final = 4 << 10
"""What the objects of a request in a batch call take beside its numbers."""

REQUESTS, QUEUE, MEMORY, TOO_LARGE = "requests", "queue", "memory", "too_large"


class Working(Protocol):
    """What admission asks an engine."""

    @property
    def backlog(self) -> float:
        """The seconds that all that waits or is being computed takes."""

    @property
    def load(self) -> Load:
        """The same as figures."""


class Admission:
    """The accounts of the process: requests and bytes in flight now, and refusals by reason.

    `work` is the most that any request needs beside its own bytes while it is computed: the engine computes one at a
    time, so that it counts once.
    """

    def __init__(self, settings: Settings, engine: Working | None = None) -> None:
        self.max_requests = settings.max_inflight_requests
        self.max_bytes = settings.max_inflight_bytes
        self.max_seconds = settings.max_queue_seconds
        self.requests = 0
        self.bytes = 0
        self.work = 0
        self.refused: Counter[str] = Counter(dict.fromkeys((REQUESTS, QUEUE, MEMORY, TOO_LARGE), 0))
        self._engine = engine
        self._working: set[Claim] = set()

    def admit(self, scope: Scope, headers: dict[bytes, bytes], length: int, factor: int) -> Claim:
        """Let a request in, with a body of that length, or 0 where it is not told.

        A byte of the body takes about `factor` bytes until the request has been answered.

        Its claim lies in the scope too, for `leave`. Raises `HTTPProblem` 429, 503, and 413 where it could never fit.
        """
        if self.requests >= self.max_requests:
            self._refuse_requests(headers)
        if self._engine is not None and self._engine.backlog > self.max_seconds:
            self._refuse_queue(self._engine, headers)
        whole = BASE_BYTES + length * factor
        if self.bytes + self.work + whole > self.max_bytes:
            self._refuse_memory(whole, _ending(headers))
        claim = Claim(self, whole if length <= AT_ONCE else BASE_BYTES)
        self.requests += 1
        self.bytes += claim.bytes
        scope[SCOPE_KEY] = claim
        return claim

    def resize(self, claim: Claim, size: int, work: int, *, ends: bool) -> None:
        """Let a claim hold so much from now on. Raises `HTTPProblem` 503, and 413 where it could never fit.

        `ends`: a refusal ends the connection, since the body has not come to its end.
        """
        more = size - claim.bytes
        most = max(self.work, work)
        if (more > 0 or work > self.work) and self.bytes + more + most > self.max_bytes:
            self._refuse_memory(size + work, {"connection": "close"} if ends else {})
        self.bytes += more
        claim.bytes = size
        if work or claim.work:
            self._turn(claim, work)

    def _turn(self, claim: Claim, work: int) -> None:
        """Note what a claim's work needs when its turn comes."""
        was, claim.work = claim.work, work
        if work:
            self._working.add(claim)
        else:
            self._working.discard(claim)
        if work >= self.work:
            self.work = work
        elif was == self.work:
            self.work = max([other.work for other in self._working], default=0)

    def leave(self, claim: Claim) -> None:
        """Give back all that a request held; once is enough."""
        if claim.gone:
            return
        claim.gone = True
        self.requests -= 1
        self.bytes -= claim.bytes
        claim.bytes = 0
        if claim.work:
            self._turn(claim, 0)

    def _refuse_requests(self, headers: dict[bytes, bytes]) -> NoReturn:
        wait = retry_after(self._backlog())
        standing = Standing(Policy("in-flight", self.max_requests, unit="concurrent-requests"), 0, wait)
        self.refused[REQUESTS] += 1
        detail = f"{self.requests} requests are in flight; the limit is {self.max_requests}"
        raise HTTPProblem(429, detail, {"retry-after": str(wait), **fields([standing]), **_ending(headers)})

    def _refuse_queue(self, engine: Working, headers: dict[bytes, bytes]) -> NoReturn:
        seconds = engine.backlog
        wait = retry_after(seconds - self.max_seconds / 2)
        quota = int(engine.load.elements_per_second * self.max_seconds)
        standing = Standing(Policy("queue", quota, math.ceil(self.max_seconds), "elements"), 0, wait)
        self.refused[QUEUE] += 1
        detail = f"what is queued takes {seconds:.1f} seconds; the limit is {self.max_seconds:g}"
        raise HTTPProblem(429, detail, {"retry-after": str(wait), **fields([standing]), **_ending(headers)})

    def _refuse_memory(self, size: int, headers: dict[str, str]) -> NoReturn:
        if size > self.max_bytes:
            self.refused[TOO_LARGE] += 1
            detail = (
                f"the request needs {size} bytes of memory; the limit is {self.max_bytes}, for all requests together"
            )
            raise HTTPProblem(413, detail, {"connection": "close"})
        self.refused[MEMORY] += 1
        detail = f"there is no memory for the request beside the {self.requests} in flight"
        raise HTTPProblem(503, detail, {"retry-after": str(retry_after(self._backlog())), **headers})

    def _backlog(self) -> float:
        """The seconds that what is queued takes to be computed."""
        return 0.0 if self._engine is None else self._engine.backlog


class Claim:
    """What one request holds: `bytes` of its own, and what computing it takes beside them, when its turn comes."""

    __slots__ = ("_admission", "bytes", "gone", "work")

    def __init__(self, admission: Admission, size: int) -> None:
        self._admission = admission
        self.bytes = size
        self.work = 0
        self.gone = False

    def need(self, size: int, work: int = 0) -> None:
        """Hold exactly so much. Raises `HTTPProblem` 503, and 413 where it could never fit."""
        if not self.gone:
            self._admission.resize(self, BASE_BYTES + size, work, ends=False)

    def reach(self, size: int) -> None:
        """Hold at least that many bytes for a body that is still coming. Raises `HTTPProblem` as `need` does."""
        if not self.gone and BASE_BYTES + size > self.bytes:
            self._admission.resize(self, BASE_BYTES + size, 0, ends=True)

    def fits(self, size: int) -> bool:
        """Hold that many bytes too, if there is room for them."""
        admission = self._admission
        if self.gone or admission.bytes + admission.work + size > admission.max_bytes:
            return False
        admission.bytes += size
        self.bytes += size
        return True

    def release(self) -> None:
        """Give all of it back."""
        self._admission.leave(self)


def _ending(headers: dict[bytes, bytes]) -> dict[str, str]:
    """Whether the refusal of a body that has not been read ends the connection.

    A short one is cheaper to throw away than a new connection is to make. Who waits for `100 Continue` may send the
    body or not, so that nothing can be told of what comes next.
    """
    length = headers.get(b"content-length", b"0" if b"transfer-encoding" not in headers else b"")
    keeps = b"expect" not in headers and length.isdigit() and int(length) <= DISCARDED
    return {} if keeps else {"connection": "close"}


def claimed(requests: Iterable[tuple[TensorRequest, int]], kept: int, *, as_text: bool) -> tuple[int, int]:
    """The bytes that computing and answering requests takes, each so many times over: their own, and the work's.

    `kept`: bytes of a body whose memory the tensors are. Of requests that are never stacked, one at a time is computed.
    """
    tensors = others = work = 0
    for request, times in requests:
        taken = footprint(request)
        text = taken.numbers * (WIDE if taken.answer > 4 * taken.numbers else NARROW) if as_text else 0
        tensors += taken.tensors * times
        others += (taken.answer + (text if text < SMALL_TEXT else text * COPIES)) * times
        if request.checked.layout.elements > request.stack_limit:
            work = max(work, taken.work)
        else:
            others += (taken.work + MEMBER) * times
    return max(kept, tensors) + others, work
