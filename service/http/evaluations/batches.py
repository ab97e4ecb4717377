"""`POST /v1/evaluations/{id}/batches`: read, decode, compute, make durable, answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from uuid import uuid4

from starlette.types import Receive, Scope, Send

from schemas.evaluation.batch import BATCH_ID, ID_WANTED
from schemas.evaluation.spec import RunSpec
from schemas.evaluation.unreduced import Unreduced
from schemas.losses import LOSSES
from schemas.operation import OperationResult
from schemas.problem import Fault, InvalidRequest
from service.engine import EngineStopped, Outcome
from service.evaluations.refusals import EvaluationRefused
from service.evaluations.run import NewBatch
from service.http.access import charge
from service.http.admission import SCOPE_KEY, claimed
from service.http.batch import together
from service.http.body import aside, combined
from service.http.compute import Computing, send_parts, timed
from service.http.content_encoding import choose
from service.http.evaluations.runs import Runs, owner_of, refusal, with_interval
from service.http.negotiation import JSON, SAFETENSORS, answer_form, form_of
from service.http.oip_infer import BINARY, json_size
from service.http.problems import HTTPProblem, document
from service.wire import evaluation, plain

log = logging.getLogger("gradwire.http")

SUFFIX: Final = "/batches"
PREFIX: Final = "/v1/evaluations/"
READING: Final = 4
"""Reading a byte of a batch takes up to so many times as long as one of a large request."""
ADDING: Final = 8_192
"""Elements of a batch from which on what it adds to its run is worked out beside the event loop."""


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
    binary = (headers.get(b"content-type") or b"").partition(b";")[0].strip().lower() == BINARY
    form = JSON if binary else form_of(headers.get(b"content-type"))
    answer_form(headers.get(b"accept"), JSON, (JSON,))
    coding = choose(headers.get(b"accept-encoding"))
    json_bytes = json_size(headers.get(b"inference-header-content-length"))
    if binary and json_bytes is None:
        raise HTTPProblem(400, "application/octet-stream needs Inference-Header-Content-Length")
    key = idempotency_key(headers)
    deadline = computing.timeouts.deadline(scope, headers)
    try:
        spec = await runs.spec(run_id, owner)
    except EvaluationRefused as error:
        raise refusal(error) from None
    scope["gradwire.loss"] = spec.loss
    body = await computing.body(scope, receive, headers, form.factor)

    began = time.perf_counter()

    def read() -> tuple[evaluation.Read, dict[int, evaluation.Batch], dict[int, InvalidRequest]]:
        if form is SAFETENSORS:
            found = evaluation.read_safetensors(body)
        elif json_bytes is not None or evaluation.is_inference(body):
            found = evaluation.read_oip(body, LOSSES[spec.loss], json_bytes)
        else:
            found = evaluation.read_json(body)
        sound, faulty = {}, {}
        for at in range(len(found.items)):
            try:
                sound[at] = evaluation.checked(found, at, spec, computing.max_elements)
            except InvalidRequest as error:
                if not found.many:
                    raise
                faulty[at] = error
        return found, sound, faulty

    if len(body) * READING < computing.offload:
        found, sound, faulty = read()
    else:
        text = memoryview(body)[: json_bytes or len(body)] if form is JSON else form.text(body)
        found, sound, faulty = await computing.read_aside(scope, len(body), text, read, deadline)
        computing.still_there(scope)
    many = found.many
    size, work = claimed([(one.request, 1) for one in sound.values()], len(body), as_text=False)
    scope[SCOPE_KEY].need(size, work)
    del body, read, found
    elements = sum([one.request.checked.layout.elements for one in sound.values()])
    if elements > computing.max_elements:
        detail = f"the batches need {elements} elements together; the limit is {computing.max_elements}"
        raise InvalidRequest([Fault("/batches", detail, 413)])
    charge(scope, elements)
    ids = {at: _batch_id(one.given.batch_id, key, many) for at, one in sound.items()}
    decoded = time.perf_counter()

    outcomes = await computing.outcome(_submitted(computing, sound, deadline), receive)

    answered = time.perf_counter()
    adding = [
        _added(runs, run_id, owner, spec, one, ids[at], outcome, elements)
        for (at, one), outcome in zip(sound.items(), outcomes, strict=True)
    ]
    answers: dict[int, Any] = dict(zip(sound, await asyncio.gather(*adding, return_exceptions=True), strict=True))
    answers |= faulty
    stored = time.perf_counter()
    if many:
        results = [_result(answers[at], at, scope) for at in sorted(answers)]
        parts = [await computing.at_size(len(results) * 512, partial(plain.dumps, {"results": results}))]
    else:
        if isinstance(answers[0], BaseException):
            raise answers[0]
        parts = [plain.dumps(answers[0])]
    computed = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
    for outcome in computed:
        computing.counters.answered(spec.loss, decoded - began, outcome, stored - answered, stored - began)
    longest = max([outcome.computed for outcome in computed], default=0.0)
    waited = max([outcome.queued for outcome in computed], default=0.0)
    timing = timed(scope, decoded - began, waited, longest, stored - answered, len(sound))
    timing += b", store;dur=%.3f" % ((stored - answered) * 1e3)
    fields = [(b"content-type", JSON.media_type), (b"server-timing", timing)]
    if coding is not None:
        parts = await computing.coded(scope, parts, fields, coding)
    await send_parts(scope, send, parts, fields)


def idempotency_key(headers: dict[bytes, bytes]) -> str | None:
    """The Idempotency-Key. Raises `HTTPProblem` 400."""
    value = headers.get(b"idempotency-key")
    if value is None:
        return None
    key = value.decode("latin-1").strip().strip('"')  # a structured field's text, or bare
    if not BATCH_ID.fullmatch(key):
        raise HTTPProblem(400, f"Idempotency-Key: {ID_WANTED}")
    return key


def _batch_id(own: str | None, key: str | None, many: bool) -> str:
    """What a batch is known by. Raises `InvalidRequest` where it has two names."""
    if key is not None and many:
        raise InvalidRequest([Fault("/batches", "an Idempotency-Key names one batch: give each a batch_id")])
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


async def _added(
    runs: Runs,
    run_id: str,
    owner: str | None,
    spec: RunSpec,
    batch: evaluation.Batch,
    batch_id: str,
    outcome: Outcome[OperationResult] | BaseException,
    elements: int,
) -> dict[str, Any]:
    """One batch made part of its run. Raises what computing it raised, and `EvaluationRefused` as problems."""
    from service.evaluations.adding import new_batch  # noqa: PLC0415 - loads the store's library

    if isinstance(outcome, BaseException):
        raise outcome
    make: Callable[[], NewBatch] = partial(
        new_batch, batch.request, outcome.result, spec, batch.given, batch.cut, batch_id, batch.digest
    )
    new = make() if elements < ADDING else await aside(make)
    evaluations = await runs.evaluations()
    try:
        added = await evaluations.add(run_id, owner, new)
    except EvaluationRefused as error:
        raise refusal(error) from None
    total = with_interval(added.total, spec.confidence)
    return {"batch_id": batch_id, "duplicate": added.duplicate, "batch": added.answer, "total": total}


def _result(answer: Any, at: int, scope: Scope) -> dict[str, Any]:
    """An answer, or the problem in its place."""
    if not isinstance(answer, BaseException):
        return answer  # type: ignore[no-any-return] # made by `_added`
    told: dict[str, Any] = document(answer, f"{scope['path']}#/batches/{at}")[2]
    if told["status"] == 500:
        extra = {"request_id": scope["gradwire.id"].decode(), "path": told["instance"]}
        log.error("request failed", exc_info=answer, extra=extra)
    return told
