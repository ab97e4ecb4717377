"""`POST /v1/evaluations/{id}/batches`: read, decode, compute, make durable, answer."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import uuid4

from starlette.types import Receive, Scope, Send

from schemas.evaluation.batch import BATCH_ID, ID_WANTED, MAX_BATCHES
from schemas.evaluation.shared import Shared
from schemas.evaluation.unreduced import Unreduced
from schemas.losses import LOSSES
from schemas.problem import Fault, InvalidRequest
from service.engine import EngineStopped, Outcome
from service.evaluations.refusals import EvaluationRefused
from service.http.access import charge
from service.http.admission import SCOPE_KEY, claimed
from service.http.batch import together
from service.http.body import Headers, combined
from service.http.compute import Computing, send_parts, timed
from service.http.content_encoding import choose
from service.http.edge.connection import Buffer
from service.http.evaluations.adding import Adding, Call, most_at_once
from service.http.evaluations.runs import Runs, owner_of, refusal
from service.http.negotiation import JSON, SAFETENSORS, Form, answer_form, form_of
from service.http.oip_infer import BINARY, json_size
from service.http.problems import HTTPProblem, document
from service.wire import evaluation, plain

log = logging.getLogger("gradwire.http")

SUFFIX: Final = "/batches"
PREFIX: Final = "/v1/evaluations/"
READING: Final = 4
"""Reading a byte of a batch takes up to so many times as long as one of a large request."""
ANSWER_BYTES: Final = 512
"""Bytes that a batch's answer or problem takes, about."""
BATCH: Final = 32 << 10
"""Reading a batch takes as long as so many bytes of a large request, however few numbers it has."""
READING_FORMULAS: Final = 512
"""The same for a character of the run's expression, which is laid out for each batch."""


def run_of(path: str) -> str | None:
    """The run that a path asks to add batches to; `None`: it asks something else."""
    if path.startswith(PREFIX) and path.endswith(SUFFIX):
        found = path[len(PREFIX) : -len(SUFFIX)]
        return found if found and "/" not in found else None
    return None


async def serve_batches(computing: Computing, runs: Runs, scope: Scope, receive: Receive, send: Send) -> None:
    """Add the batches of one call to a run."""
    run_id, owner = run_of(scope["path"]) or "", owner_of(scope)
    headers = combined(scope["headers"])
    sending = _sending(headers)
    answer_form(headers.get(b"accept"), JSON, (JSON,))
    coding = choose(headers.get(b"accept-encoding"))
    deadline = computing.timeouts.deadline(scope, headers)
    try:
        run = await runs.shared(run_id, owner)
    except EvaluationRefused as error:
        raise refusal(error) from None
    scope["gradwire.loss"] = loss = run.spec.loss
    body = await computing.body(scope, receive, headers, sending.form.factor)

    began = time.perf_counter()
    call = await _decoded(computing, scope, body, sending, run, deadline)
    del body
    charge(scope, call.elements)
    decoded = time.perf_counter()

    outcomes = await computing.outcome(_submitted(computing, call.sound, deadline), receive)

    computed = time.perf_counter()
    answers: dict[int, Any] = await Adding(runs, run_id, owner, run.spec).add(call, outcomes)
    answers |= call.faulty
    stored = time.perf_counter()
    told = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
    for outcome in told:
        computing.counters.answered(loss, decoded - began, outcome, stored - computed, stored - began)
    if call.many:
        results = {"results": [_result(answers[at], at, scope) for at in sorted(answers)]}
        parts = [await computing.at_size(len(answers) * ANSWER_BYTES, partial(plain.dumps, results))]
    elif isinstance(answers[0], BaseException):
        raise answers[0]
    else:
        parts = [plain.dumps(answers[0])]
    ended = time.perf_counter()
    waited = max([outcome.queued for outcome in told], default=0.0)
    longest = max([outcome.computed for outcome in told], default=0.0)
    timing = timed(scope, decoded - began, waited, longest, ended - stored, len(told))
    timing += b", store;dur=%.3f" % ((stored - computed) * 1e3)
    fields = [(b"content-type", JSON.media_type), (b"server-timing", timing)]
    if coding is not None:
        parts = await computing.coded(scope, parts, fields, coding)
    await send_parts(scope, send, parts, fields)


class Sending(NamedTuple):
    """How batches are sent: the form of the body, the bytes of an inference request's JSON, the Idempotency-Key."""

    form: Form
    json_bytes: int | None
    key: str | None


def _sending(headers: Headers) -> Sending:
    """What the headers say. Raises `HTTPProblem` 400 and 415."""
    content_type = headers.get(b"content-type")
    binary = (content_type or b"").partition(b";")[0].strip().lower() == BINARY
    json_bytes = json_size(headers.get(b"inference-header-content-length"))
    if binary and json_bytes is None:
        raise HTTPProblem(400, "application/octet-stream needs Inference-Header-Content-Length")
    return Sending(JSON if binary else form_of(content_type), json_bytes, idempotency_key(headers))


async def _decoded(
    computing: Computing, scope: Scope, body: Buffer, sending: Sending, run: Shared, deadline: float | None
) -> Call:
    """The batches of a body, checked; the claim holds what they take. Raises `InvalidRequest`, `HTTPProblem`."""
    read = partial(_read, body, sending, run, computing.max_elements)
    if _is_quick(body, run, computing.offload):
        call = read()
    else:
        text = memoryview(body)[: sending.json_bytes] if sending.form is JSON else sending.form.text(body)
        call = await computing.read_aside(scope, len(body), text, read, deadline)
        computing.still_there(scope)
    size, work = claimed([(one.request, 1) for one in call.sound.values()], len(body), as_text=False)
    scope[SCOPE_KEY].need(size + most_at_once(call, run.spec), work)
    return call


def _is_quick(body: Buffer, run: Shared, offload: int) -> bool:
    """Whether reading a body's batches takes less than `offload` bytes of a large request: an object may be a batch."""
    size = len(body) * READING
    if size >= offload:
        return False
    batches = min(bytes(body).count(b"{"), MAX_BATCHES)
    return size + batches * (BATCH + run.elements * 8 + run.text * READING_FORMULAS) < offload


def _read(body: Buffer, sending: Sending, run: Shared, max_elements: int) -> Call:
    """The batches of a body. Raises `InvalidRequest` where none of it can be taken."""
    cls = LOSSES[run.spec.loss]
    if sending.form is SAFETENSORS:
        found = evaluation.read_safetensors(body)
    elif sending.json_bytes is not None:
        found = evaluation.read_oip(body, cls, sending.json_bytes)
    else:
        found = evaluation.read_json(body, cls)
    if sending.key is not None and found.many:
        raise InvalidRequest([Fault("/batches", "an Idempotency-Key names one batch: give each a batch_id")])
    sound: dict[int, evaluation.Batch] = {}
    faulty: dict[int, InvalidRequest] = {}
    budget = evaluation.Budget(max_elements)
    for at in range(len(found.items)):
        try:
            one = evaluation.checked(found, at, run, budget)
        except InvalidRequest as error:
            if not found.many:
                raise
            faulty[at] = error
            continue
        sound[at] = one
    ids = {at: _batch_id(one.given.batch_id, sending.key) for at, one in sound.items()}
    return Call(sound, faulty, ids, found.many, budget.elements)


def idempotency_key(headers: dict[bytes, bytes]) -> str | None:
    """The Idempotency-Key. Raises `HTTPProblem` 400."""
    value = headers.get(b"idempotency-key")
    if value is None:
        return None
    key = value.decode("latin-1").strip().strip('"')  # a structured field's text, or bare
    if not BATCH_ID.fullmatch(key):
        raise HTTPProblem(400, f"Idempotency-Key: {ID_WANTED}")
    return key


def _batch_id(own: str | None, key: str | None) -> str:
    """What a batch is known by. Raises `InvalidRequest` where it has two names."""
    if own is not None and key not in (None, own):
        raise InvalidRequest([Fault("/batch_id", "is not what Idempotency-Key says")])
    return own or key or uuid4().hex


def _submitted(
    computing: Computing, sound: dict[int, evaluation.Batch], deadline: float | None
) -> asyncio.Future[list[Any]]:
    """Everything in the engine's queue. Raises what `submit_operation` raises."""
    futures: list[asyncio.Future[Any]] = []
    if not sound:
        whole: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        whole.set_result([])
        return whole
    try:
        futures.extend(
            computing.engine.submit_operation(Unreduced.of(one.request), deadline=deadline) for one in sound.values()
        )
    except EngineStopped:
        for future in futures:
            future.cancel()
        raise
    return together(futures)


def _result(answer: Any, at: int, scope: Scope) -> dict[str, Any]:
    """An answer, or the problem in its place."""
    if not isinstance(answer, BaseException):
        return answer  # type: ignore[no-any-return] # made by `_added`
    told: dict[str, Any] = document(answer, f"{scope['path']}#/batches/{at}")[2]
    if told["status"] == 500:
        extra = {"request_id": scope["gradwire.id"].decode(), "path": told["instance"]}
        log.error("request failed", exc_info=answer, extra=extra)
    return told
