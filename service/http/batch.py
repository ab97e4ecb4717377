"""`POST /v1/loss/batch`: many losses in one call, computed together and answered in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from schemas.batch import MAX_LOSSES, BatchAnswer, BatchRequest
from schemas.bundle import BundleResult
from schemas.request import LossRequest
from service.engine import DeadlinePassed, Engine, EngineStopped, Outcome, WorkerFailed
from service.http.access import charge
from service.http.admission import SCOPE_KEY, claimed
from service.http.body import combined
from service.http.compute import Computing, send_parts, timed
from service.http.content_encoding import choose
from service.http.formulas import is_long
from service.http.negotiation import JSON, Parts, answer_form, form_of
from service.http.openapi import PROBLEMS
from service.http.problems import HTTPProblem, document
from service.wire.batch import Call, Limits, decode_json, decode_safetensors, needs
from service.wire.batch_answers import Answered, Answers, encode_json, encode_safetensors
from service.wire.bundles import Part

log = logging.getLogger("gradwire.http")

PATH: Final = "/v1/loss/batch"

READING: Final = 16
"""Reading a byte of a call takes up to so many times as long as one of a large request: each request is checked."""

FAULT_BYTES: Final = 1024
"""Bytes that telling of a fault takes, about."""

AT_ONCE: Final = 32
"""Requests of a call, bundles aside, that may be computed on the event loop: each may be a batch of its own."""

DESCRIPTION: Final = """\
Every request has the members of `POST /v1/loss`; losses may be mixed. The results come in the order of the requests:
each is the answer that `POST /v1/loss` gives, to the bit, or the problem document that it gives. A bad request harms no
other. An `id` in a request comes back in its result.

Like losses of one call are computed together, so that one call with many small ones is many times as fast as a call for
each. Together they may need as many elements as one request may: those for which nothing is left get a problem with
status 413. A whole call is refused only where it cannot be read, has other members than `requests`, or too many losses.

As safetensors, tensors are named by the request's position and the member (`0.input`, `17.target`), the text `request`
of `__metadata__` holds `{"requests": [{"loss": ...}, ...]}`; the answer has the tensors `0.loss`,
`0.gradients.input`, ..., and the text `result` with `{"results": [...]}`.
"""


def documented() -> APIRoute:
    """The operation, as FastAPI documents it; `serve_batch` serves it."""

    async def operation(request: BatchRequest) -> Any:
        """Only a signature."""

    operation.__annotations__ = {"request": BatchRequest, "return": BatchAnswer}
    return APIRoute(
        PATH,
        operation,
        methods=["POST"],
        response_model=BatchAnswer,
        operation_id="loss_batch",
        name="loss_batch",
        summary="Many losses and their gradients",
        description=DESCRIPTION,
        tags=["any loss"],
        response_description="A result for every request, in order.",
        responses=PROBLEMS,
    )


async def serve_batch(computing: Computing, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one batch call."""
    headers = combined(scope["headers"])
    form = form_of(headers.get(b"content-type"))
    wanted = answer_form(headers.get(b"accept"), form)
    coding = choose(headers.get(b"accept-encoding"))
    deadline = computing.timeouts.deadline(scope, headers)
    body = await computing.body(scope, receive, headers, form.factor)

    began = time.perf_counter()
    decode = decode_json if form is JSON else decode_safetensors
    limits = Limits(MAX_LOSSES, computing.max_elements)
    read = partial(decode, body, limits)
    if len(body) * READING < computing.offload and not is_long(body, computing.offload):
        call = read()
    else:
        call = await computing.read_aside(scope, len(body), form.text(body), read, deadline)
    own = [(request, 1) for request in call.requests.values()]
    own += [(part.bundle.first, part.bundle.size) for part in call.bundles]
    size, work = claimed(own, 0 if form.text_bytes else len(body), as_text=wanted is JSON)
    told = sum([len(invalid.faults) for invalid in call.invalid.values()])
    scope[SCOPE_KEY].need(size + told * FAULT_BYTES, work)
    del body, read, own
    scope["gradwire.loss"] = "batch"
    computing.still_there(scope)
    elements = sum([needs(request) for request in call.requests.values()])  # with rows that have none
    elements += sum([part.bundle.checked.layout.elements for part in call.bundles])
    try:
        charge(scope, elements)
        decoded = time.perf_counter()
        ran = await _run(computing, call, deadline, scope, receive)
    except (HTTPProblem, EngineStopped, WorkerFailed, DeadlinePassed):
        for loss in _losses(call):
            computing.counters.failed(loss, time.perf_counter() - began)
        raise

    answered = time.perf_counter()
    write: Callable[[Answers], Parts] = encode_json if wanted is JSON else encode_safetensors
    parts = await computing.at_size(elements * wanted.text_bytes, partial(write, ran.answers))
    ended = time.perf_counter()
    # A member's share of the reading and the writing is like every other's.
    members = max(len(call.ids), 1)
    reading, writing = (decoded - began) / members, (ended - answered) / members
    for loss, outcome, requests in ran.computed:
        computing.counters.answered(loss, reading, outcome, writing, ended - began, requests)
    for loss in (*ran.failed, *[error.loss for error in call.invalid.values() if error.loss is not None]):
        computing.counters.failed(loss, ended - began)
    if "gradwire.trace" in scope:
        scope["gradwire.trace"].steps((began, decoded), ran.computed, (answered, ended))
    timing = timed(scope, decoded - began, ran.waited, ran.longest, ended - answered, ran.largest)
    del call, ran  # what is sent is all that is still needed
    fields = [(b"content-type", wanted.media_type), (b"server-timing", timing)]
    if coding is not None:
        parts = await computing.coded(scope, parts, fields, coding)
    await send_parts(scope, send, parts, fields)


class Ran(NamedTuple):
    """What came of a call; and of all that was computed, the loss, the outcome and how many requests had it.

    `failed` are the losses of what could not be computed.
    """

    answers: Answers
    computed: list[tuple[str, Outcome[Any], int]]
    failed: list[str]

    @property
    def waited(self) -> float:
        """The seconds until the turn of its last member."""
        return max([outcome.queued for _, outcome, _ in self.computed], default=0.0)

    @property
    def largest(self) -> int:
        """The requests of its largest batch."""
        return max([max(outcome.batch, requests) for _, outcome, requests in self.computed], default=0)

    @property
    def longest(self) -> float:
        """The seconds that its longest batch took."""
        return max([outcome.computed for _, outcome, _ in self.computed], default=0.0)


def _losses(call: Call) -> Iterator[str]:
    """The loss of each member, where it is known."""
    for request in call.requests.values():
        yield request.name
    for part in call.bundles:
        yield from [part.bundle.name] * len(part.positions)
    for error in call.invalid.values():
        if error.loss is not None:
            yield error.loss


async def _run(computing: Computing, call: Call, deadline: float | None, scope: Scope, receive: Receive) -> Ran:
    """Compute all that is sound. Raises `EngineStopped`, `WorkerFailed`, `DeadlinePassed` and `Disconnected`."""
    singles: dict[int, Answered] = {at: _problem(error, at) for at, error in call.invalid.items()}
    bundled: list[tuple[list[int], BundleResult]] = []
    requests, parts = call.requests, call.bundles
    computed: list[tuple[str, Outcome[Any], int]] = []
    failed: list[str] = []
    while requests or parts:
        outcomes = await computing.outcome(_submitted(computing.engine, requests, parts, deadline), receive)
        own = dict(zip(requests, outcomes, strict=False))
        for at, outcome in own.items():
            if isinstance(outcome, BaseException):
                singles[at] = told = _problem(outcome, at)
                failed.append(requests[at].name)
                if told["status"] == 500:
                    extra = {"request_id": scope["gradwire.id"].decode(), "path": told["instance"]}
                    log.error("request failed", exc_info=outcome, extra=extra)
            else:
                singles[at] = (outcome.result, requests[at].encoding)
                computed.append((requests[at].name, outcome, 1))
        again: dict[int, LossRequest] = {}
        for part, outcome in zip(parts, outcomes[len(own) :], strict=True):
            if isinstance(outcome, WorkerFailed):  # asked for again, it might fail the next worker
                singles.update({at: _problem(outcome, at) for at in part.positions})
            elif isinstance(outcome, BaseException):  # one of them is to blame: each alone, so that only that one fails
                again.update({at: part.bundle.alone(i) for i, at in enumerate(part.positions)})
            else:
                bundled.append((part.positions, outcome.result))
                computed.append((part.bundle.name, outcome, len(part.positions)))
        requests, parts = again, []
    return Ran(Answers(call.ids, singles, bundled), computed, failed)


def _submitted(
    engine: Engine, requests: dict[int, LossRequest], parts: list[Part], deadline: float | None
) -> asyncio.Future[list[Any]]:
    """Everything in the engine's queue: first the requests, then the bundles. Raises what `submit` raises."""
    futures: list[asyncio.Future[Any]] = []
    try:
        # What is in the list when one of these raises is cancelled below.
        on_worker = len(requests) > AT_ONCE
        futures.extend(engine.submit(request, on_worker=on_worker, deadline=deadline) for request in requests.values())
        futures.extend(engine.submit_bundle(part.bundle, deadline=deadline) for part in parts)
    except (EngineStopped, WorkerFailed):
        for future in futures:
            future.cancel()
        raise
    return together(futures)


def together(futures: Sequence[asyncio.Future[Any]]) -> asyncio.Future[list[Any]]:
    """All outcomes, or what was raised in their places. Cancelled, it cancels every one that is not done.

    `asyncio.gather` would not count as cancelled itself. It raises `EngineStopped` or `DeadlinePassed` if any does, and
    at once: no part of the answer would be worth the wait.
    """
    whole: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
    left = len(futures)

    def done(ended: asyncio.Future[Any]) -> None:
        nonlocal left
        left -= 1
        if whole.done() or ended.cancelled():
            return
        error = ended.exception()
        if isinstance(error, EngineStopped | DeadlinePassed):
            whole.set_exception(error)
        elif not left:
            whole.set_result([future.exception() or future.result() for future in futures])

    def given_up(ended: asyncio.Future[list[Any]]) -> None:
        if ended.cancelled() or ended.exception() is not None:
            for future in futures:
                future.cancel()

    for future in futures:
        future.add_done_callback(done)
    whole.add_done_callback(given_up)
    return whole


def _problem(error: BaseException, at: int) -> dict[str, Any]:
    """The problem in the place of one request."""
    return document(error, f"{PATH}#/requests/{at}")[2]
