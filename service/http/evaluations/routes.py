"""The routes of evaluation runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.routing import APIRoute
from fastapi.sse import EventSourceResponse
from pydantic import AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from schemas.evaluation.batch import EvaluationBatch
from schemas.evaluation.report import EvaluationComparison, EvaluationReport
from schemas.evaluation.run import (
    BatchAdded,
    EvaluationAnswer,
    EvaluationBatches,
    EvaluationChange,
    EvaluationPage,
    run_change,
    run_spec,
)
from schemas.evaluation.spec import RunSpec
from schemas.problem import Fault, InvalidRequest
from service.evaluations.refusals import EvaluationRefused
from service.http.body import aside, combined
from service.http.compute import Computing
from service.http.evaluations.batches import idempotency_key
from service.http.evaluations.events import SEALED, events
from service.http.evaluations.reports import FORMATS, Format, comparison, negotiated, report
from service.http.evaluations.runs import Runs, owner_of, refusal, told, with_interval
from service.http.negotiation import JSON, form_of
from service.http.openapi import PROBLEMS
from service.http.problems import HTTPProblem
from service.http.reference import PROBLEM
from service.wire import plain
from service.wire.json import check_depth, malformed, no_json

TAG: Final = "evaluations"
PATH: Final = "/v1/evaluations"
ONE: Final = "/v1/evaluations/{id}"
RunId = Annotated[str, Path(alias="id", description="The run's id.", examples=["ev_06bqk4h0k3wv1f8m2z7d9t5xrc"])]
READ_ASIDE: Final = 64 << 10
"""Bytes from which on a body is read beside the event loop: a Python object is made for each number in it."""
Responses = dict[int | str, dict[str, Any]]
NO_RUN: Final[Responses] = {404: {"description": "There is no such run, or evaluations are off.", **PROBLEM}}
OFF: Final[Responses] = {404: {"description": "Evaluations are off.", **PROBLEM}}
INVALID: Final[Responses] = {422: {"description": "A faulty query: `errors` lists every fault.", **PROBLEM}}
FULL: Final[Responses] = {507: {"description": "The store is full.", **PROBLEM}}
LOCATION: Final = {"Location": {"$ref": "#/components/headers/Location"}}
EVENTS: Final = {"text/event-stream": {"schema": {"type": "string"}}}

router = APIRouter(tags=[TAG])

Serve = Callable[[Scope, Receive, Send], Awaitable[None]]


class WritingRoute(APIRoute):
    """Documented by FastAPI from its signature; `serve` reads the body, within the bounds of all bodies."""

    serve: Serve

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve its method, and refuse all others."""
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405, headers={"allow": self.allowed})
        await self.serve(scope, receive, send)

    allowed: str = "POST"


def _runs(request: Request) -> Runs:
    found: Runs = request.app.state.runs
    return found


async def _asked(work: Awaitable[Any]) -> Any:
    """What the evaluations answer. Raises their refusals as problems."""
    try:
        return await work
    except EvaluationRefused as error:
        raise refusal(error) from None


async def _json(made: Callable[[], Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer, made and written beside the event loop: a run may have a megabyte of names and options."""
    return Response(await aside(lambda: plain.dumps(made())), status, headers, "application/json")


async def _members(computing: Computing, scope: Scope, receive: Receive) -> dict[str, Any]:
    """The JSON object of a body. Raises `InvalidRequest`, `HTTPProblem`."""
    headers = combined(scope["headers"])
    if form_of(headers.get(b"content-type")) is not JSON:
        raise HTTPProblem(415, "send application/json", {"accept": "application/json"})
    body = bytes(await computing.body(scope, receive, headers))
    if len(body) < READ_ASIDE:
        return _object(body)
    return await computing.read_aside(scope, len(body), body, partial(_object, body))


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(no_json(body, error)) from None
    if type(found) is not dict:
        raise malformed("the body is no JSON object")
    check_depth(found)
    return found


def _spec(members: dict[str, Any], max_elements: int) -> RunSpec:
    """The checked spec of a new run. Raises `InvalidRequest`."""
    from service.evaluations.metrics.plan import check_metrics  # noqa: PLC0415 - evaluations are loaded at first use

    spec = run_spec(members, max_elements)
    faults = check_metrics(spec)
    if faults:
        raise InvalidRequest(faults)
    return spec


async def create(computing: Computing, runs: Runs, scope: Scope, receive: Receive, send: Send) -> None:
    """Make a run."""
    key = idempotency_key(combined(scope["headers"]))
    members = await _members(computing, scope, receive)
    spec = await aside(_spec, members, computing.max_elements)
    evaluations = await runs.evaluations()
    run, created = await _asked(evaluations.create(spec, owner_of(scope), key))
    answer = await _json(lambda: told(run), 201 if created else 200, {"location": f"{PATH}/{run.id}"})
    await answer(scope, receive, send)


async def change(computing: Computing, runs: Runs, scope: Scope, receive: Receive, send: Send) -> None:
    """Seal, rename or tag a run."""
    run_id = scope["path_params"]["id"]
    asked = await aside(run_change, await _members(computing, scope, receive))
    evaluations = await runs.evaluations()
    run = await _asked(
        evaluations.change(run_id, owner_of(scope), name=asked.name, tags=asked.tags, sealed=asked.state == "sealed")
    )
    answer = await _json(lambda: told(run))
    await answer(scope, receive, send)


def _no_number(text: Any) -> Any:
    """Pydantic takes a number for seconds since 1970, which the document tells nothing of."""
    if type(text) is str and "-" not in text[1:]:
        raise PydanticCustomError("instant", "is no date and time of RFC 3339")
    return text


Instant = Annotated[AwareDatetime, BeforeValidator(_no_number)]


@router.get(
    PATH, operation_id="list_evaluations", summary="Runs", response_model=EvaluationPage, responses={**OFF, **INVALID}
)
async def list_evaluations(
    request: Request,
    state: Annotated[Literal["open", "sealed"] | None, Query(description="Only such.")] = None,
    loss: Annotated[str | None, Query(description="Only those of this loss.")] = None,
    name: Annotated[str | None, Query(description="Only those whose name has this in it.")] = None,
    tag: Annotated[
        list[str] | None, Query(description="Only those with this tag, as `key:value`; may be repeated.")
    ] = None,
    created_after: Annotated[Instant | None, Query(description="Only those made at that time or later.")] = None,
    created_before: Annotated[Instant | None, Query(description="Only those made earlier.")] = None,
    order: Annotated[Literal["newest", "oldest"], Query(description="Which come first.")] = "newest",
    limit: Annotated[int, Query(ge=1, le=200, description="How many at most.")] = 50,
    cursor: Annotated[str | None, Query(description="The `next_cursor` of the page before.", max_length=512)] = None,
) -> Any:
    """The runs of the caller's API key, or all where there are no keys, page by page."""
    tags = dict(_tag(one, at) for at, one in enumerate(tag or ()))
    evaluations = await _runs(request).evaluations()
    page = await _asked(
        evaluations.page(
            owner_of(request.scope),
            state=state,
            loss=loss,
            name=name,
            tags=tags or None,
            created_after=created_after,
            created_before=created_before,
            cursor=cursor,
            limit=limit,
            order=order,
        )
    )

    def made() -> dict[str, Any]:
        return {"evaluations": [told(run, listed=True) for run in page.runs], "next_cursor": page.next_cursor}

    return await _json(made)


def _tag(text: str, at: int) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon:
        raise InvalidRequest([Fault(f"/query/tag/{at}", "is no key:value")])
    return key, value


@router.get(ONE, operation_id="get_evaluation", summary="One run", response_model=EvaluationAnswer, responses=NO_RUN)
async def get_evaluation(run_id: RunId, request: Request) -> Any:
    """A run, with what its batches add up to."""
    evaluations = await _runs(request).evaluations()
    run, total = await _asked(evaluations.total(run_id, owner_of(request.scope)))
    return await _json(lambda: told(run, with_interval(total, run.spec.confidence)))


@router.delete(
    ONE,
    operation_id="delete_evaluation",
    summary="Delete a run",
    status_code=204,
    response_model=None,
    responses=NO_RUN,
)
async def delete_evaluation(run_id: RunId, request: Request) -> Response:
    """The run and all of its batches are gone; nothing brings them back."""
    runs, owner = _runs(request), owner_of(request.scope)
    evaluations = await runs.evaluations()
    await _asked(evaluations.delete(run_id, owner))
    runs.forget(run_id, owner)
    return Response(status_code=204)


@router.get(
    f"{ONE}/batches",
    operation_id="list_evaluation_batches",
    summary="A run's batches",
    response_model=EvaluationBatches,
    responses={**NO_RUN, **INVALID},
)
async def list_batches(
    run_id: RunId,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 100,
    cursor: Annotated[str | None, Query(description="The `next_cursor` of the page before.", max_length=512)] = None,
) -> Any:
    """The batches that are durably part of a run, in the order in which they were acknowledged."""
    evaluations = await _runs(request).evaluations()
    page = await _asked(evaluations.batches(run_id, owner_of(request.scope), cursor, limit))
    return await _json(lambda: {"batches": _told_batches(page), "next_cursor": page.next_cursor})


def _told_batches(page: Any) -> list[dict[str, Any]]:
    return [
        {
            "batch_id": one.batch_id,
            "samples": one.samples,
            "loss": one.loss,
            "divisor": one.divisor,
            "created_at": one.created_at.isoformat(),
        }
        for one in page.batches
    ]


@router.get(
    f"{ONE}/report",
    operation_id="get_evaluation_report",
    summary="A run's report",
    response_model=EvaluationReport,
    responses={200: {"content": FORMATS}, **NO_RUN, **INVALID},
)
async def get_report(
    run_id: RunId,
    request: Request,
    format: Annotated[Format | None, Query(description="Its form; left out, `Accept` says.")] = None,  # noqa: A002
) -> Any:
    """All that the run's batches tell: loss with intervals, classes, groups, quantiles, hardest samples, metrics.

    As a page (`html`) it is whole in itself: plots and all, without a network. Under `results` two runs with the same
    batches have the same bytes, in whatever order, however often and through however many servers these came.
    """
    wanted = negotiated(format, request.scope)
    evaluations = await _runs(request).evaluations()
    turns = _runs(request).turns
    return await _asked(report(turns, request.receive, evaluations, run_id, owner_of(request.scope), wanted))


@router.get(
    f"{ONE}/comparison",
    operation_id="compare_evaluations",
    summary="Two runs over the same samples",
    response_model=EvaluationComparison,
    responses={
        200: {"content": FORMATS},
        **NO_RUN,
        409: {"description": "The runs cannot be compared: `detail` tells why.", **PROBLEM},
        **INVALID,
    },
)
async def get_comparison(
    run_id: RunId,
    request: Request,
    other: Annotated[str, Query(alias="with", description="The other run's id.")],
    format: Annotated[Format | None, Query(description="Its form; left out, `Accept` says.")] = None,  # noqa: A002
) -> Any:
    """The difference of this run's loss from the other's over the samples that both have, paired by their ids.

    Samples without ids are paired by the id of their batch and their place in it. A negative difference says that this
    run's loss is the lower.
    """
    wanted = negotiated(format, request.scope)
    evaluations = await _runs(request).evaluations()
    turns, owner = _runs(request).turns, owner_of(request.scope)
    return await _asked(comparison(turns, request.receive, evaluations, run_id, other, owner, wanted))


@router.get(
    f"{ONE}/events",
    operation_id="follow_evaluation",
    summary="A run's progress, live",
    response_class=Response,
    response_model=None,
    responses={
        200: {"description": "The events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **NO_RUN,
    },
)
async def follow(run_id: RunId, request: Request) -> Any:
    """Server-sent events: `progress` at most once a second while batches come, `sealed` (or `deleted`) at the end.

    Each holds the whole state: what the batches add up to, `samples_per_second` of late, `expected_samples`. Who comes
    back with the id of the event `sealed` in `Last-Event-ID` has seen the end, and is answered 204.
    """
    owner = owner_of(request.scope)
    evaluations = await _runs(request).evaluations()
    run = await _asked(evaluations.get(run_id, owner))
    if run.state == SEALED and request.headers.get("last-event-id") == SEALED:
        return Response(status_code=204)  # which tells an EventSource not to come again
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return EventSourceResponse(events(request.app.state, evaluations, run_id, owner), headers=headers)


def writing_routes(computing: Computing, runs: Runs, batches: Serve) -> list[APIRoute]:
    """The routes that read bodies: making and changing a run, and adding batches."""

    async def create_evaluation(request: RunSpec) -> Any:
        """Only a signature."""

    async def change_evaluation(run_id: RunId, request: EvaluationChange) -> Any:
        """Only a signature."""

    async def add_batches(run_id: RunId, request: EvaluationBatch) -> Any:
        """Only a signature."""

    made = [
        WritingRoute(
            PATH,
            create_evaluation,
            methods=["POST"],
            response_model=EvaluationAnswer,
            status_code=201,
            operation_id="create_evaluation",
            summary="A new run",
            description=CREATE,
            tags=[TAG],
            responses={
                200: {
                    "description": "The run that this Idempotency-Key made before.",
                    "model": EvaluationAnswer,
                    "headers": LOCATION,
                },
                201: {"headers": LOCATION},
                **PROBLEMS,
                **OFF,
                **FULL,
            },
            openapi_extra={"requestBody": {"content": {"application/json": {"example": EXAMPLE}}}},
        ),
        WritingRoute(
            ONE,
            change_evaluation,
            methods=["PATCH"],
            response_model=EvaluationAnswer,
            operation_id="change_evaluation",
            summary="Seal, rename or tag a run",
            description="What is left out stays. A sealed run takes no more batches, and is never opened again.",
            tags=[TAG],
            responses={**PROBLEMS, **NO_RUN},
        ),
        WritingRoute(
            f"{ONE}/batches",
            add_batches,
            methods=["POST"],
            response_model=BatchAdded,
            operation_id="add_evaluation_batches",
            summary="Add batches to a run",
            description=ADD,
            tags=[TAG],
            response_description="The batch is durably part of the run.",
            responses={
                **PROBLEMS,
                **NO_RUN,
                409: {"description": "The run is sealed, or would have more samples than one may have.", **PROBLEM},
                **FULL,
            },
        ),
    ]
    serving: list[Serve] = [partial(create, computing, runs), partial(change, computing, runs), batches]
    for route, serve, allowed in zip(
        made, serving, ("GET, HEAD, POST", "DELETE, GET, HEAD, PATCH", "GET, HEAD, POST"), strict=True
    ):
        route.serve = serve
        route.allowed = allowed
    return list(made)


EXAMPLE: Final = {
    "name": "resnet50 on validation",
    "loss": "cross_entropy",
    "classes": ["cat", "dog", "bird"],
    "metrics": ["accuracy", {"name": "top_k_accuracy", "k": 2}, "calibration_error"],
    "tags": {"model": "resnet50", "commit": "4f2a91c"},
    "expected_samples": 50000,
}

CREATE: Final = """\
What a run computes is fixed here, for all its batches: the loss with its options, the metrics, the classes, the groups.
With an `Idempotency-Key` the same request made again answers the same run (200 in place of 201), so that a sender that
was interrupted finds it again; another request with that key is refused (422).

Losses are computed in float64 unless `dtype` says otherwise: wider than most predictions, so that they are exact.
"""

ADD: Final = """\
A batch has the tensors of the run's loss (`input`, `target`, ...), of any number of samples; options are the run's. It
is answered once it is durable: with its own figures, and with those of the run with it in.

A batch is known by its `batch_id`, or by the header `Idempotency-Key`. Sent again, it is answered as the first time
(`duplicate` is true) and counts once; the same id with other contents is refused (422). Order, the number of senders
and repetitions change nothing in the report, to the last bit.

The body may be JSON, safetensors (tensors by name; `batch_id`, `sample_ids` and `groups` in the text `request` of
`__metadata__`, or the latter two as tensors of whole numbers) or an inference request of the Open Inference Protocol
(those three as parameters). Many batches in one call: `{"batches": [...]}`, in safetensors with tensors named
`0.input`, `1.input` and so on; the answer is then `{"results": [...]}` in order, with problems in the places of bad
ones. No gradients are computed.
"""
