"""The routes of evaluation runs that have no body; those that read one are in `service.http.evaluations.writing`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.sse import EventSourceResponse
from pydantic import AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from schemas.evaluation.report import EvaluationComparison, EvaluationReport
from schemas.evaluation.run import EvaluationAnswer, EvaluationBatches, EvaluationPage
from schemas.problem import Fault, InvalidRequest, pointer
from service.evaluations.refusals import EvaluationRefused
from service.http.body import aside
from service.http.evaluations.events import SEALED, events
from service.http.evaluations.reports import FORMATS, Format, comparison, negotiated, report
from service.http.evaluations.runs import Runs, owner_of, refusal, told, with_interval
from service.http.reference import PROBLEM
from service.wire import plain

TAG: Final = "evaluations"
PATH: Final = "/v1/evaluations"
ONE: Final = "/v1/evaluations/{id}"
RunId = Annotated[str, Path(alias="id", description="The run's id.", examples=["ev_06bqk4h0k3wv1f8m2z7d9t5xrc"])]
Responses = dict[int | str, dict[str, Any]]
NO_RUN: Final[Responses] = {404: {"description": "There is no such run, or evaluations are off.", **PROBLEM}}
OFF: Final[Responses] = {404: {"description": "Evaluations are off.", **PROBLEM}}
INVALID: Final[Responses] = {422: {"description": "A faulty query: `errors` lists every fault.", **PROBLEM}}
EVENTS: Final = {"text/event-stream": {"schema": {"type": "string"}}}


def _known_parameters(request: Request) -> None:
    """Refuse a query with a misspelt filter, which would be answered with what it should have left out."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise InvalidRequest([Fault(pointer("query", name), "there is no such parameter") for name in unknown])


router = APIRouter(tags=[TAG], dependencies=[Depends(_known_parameters)], responses=INVALID)


def _runs(request: Request) -> Runs:
    found: Runs = request.app.state.runs
    return found


async def asked(work: Awaitable[Any]) -> Any:
    """What the evaluations answer. Raises their refusals as problems."""
    try:
        return await work
    except EvaluationRefused as error:
        raise refusal(error) from None


async def as_json(made: Callable[[], Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer, made and written beside the event loop: a run may have a megabyte of names and options."""
    return Response(await aside(lambda: plain.dumps(made())), status, headers, "application/json")


def _no_number(text: Any) -> Any:
    """Pydantic takes a number for seconds since 1970, which the document tells nothing of."""
    if type(text) is str and "-" not in text[1:]:
        raise PydanticCustomError("instant", "is no date and time of RFC 3339")
    return text


Instant = Annotated[AwareDatetime, BeforeValidator(_no_number)]


@router.get(PATH, operation_id="list_evaluations", summary="Runs", response_model=EvaluationPage, responses=OFF)
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
    page = await asked(
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

    return await as_json(made)


def _tag(text: str, at: int) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon:
        raise InvalidRequest([Fault(f"/query/tag/{at}", "is no key:value")])
    return key, value


@router.get(ONE, operation_id="get_evaluation", summary="One run", response_model=EvaluationAnswer, responses=NO_RUN)
async def get_evaluation(run_id: RunId, request: Request) -> Any:
    """A run, with what its batches add up to."""
    evaluations = await _runs(request).evaluations()
    run, total = await asked(evaluations.total(run_id, owner_of(request.scope)))
    return await as_json(lambda: told(run, with_interval(total, run.spec.confidence)))


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
    await asked(evaluations.delete(run_id, owner))
    runs.forget(run_id, owner)
    return Response(status_code=204)


@router.get(
    f"{ONE}/batches",
    operation_id="list_evaluation_batches",
    summary="A run's batches",
    response_model=EvaluationBatches,
    responses=NO_RUN,
)
async def list_batches(
    run_id: RunId,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 100,
    cursor: Annotated[str | None, Query(description="The `next_cursor` of the page before.", max_length=512)] = None,
) -> Any:
    """The batches that are durably part of a run, in the order in which they were acknowledged."""
    evaluations = await _runs(request).evaluations()
    page = await asked(evaluations.batches(run_id, owner_of(request.scope), cursor, limit))
    return await as_json(lambda: {"batches": _told_batches(page), "next_cursor": page.next_cursor})


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
    responses={200: {"content": FORMATS}, **NO_RUN},
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
    return await asked(report(turns, request.receive, evaluations, run_id, owner_of(request.scope), wanted))


@router.get(
    f"{ONE}/comparison",
    operation_id="compare_evaluations",
    summary="Two runs over the same samples",
    response_model=EvaluationComparison,
    responses={
        200: {"content": FORMATS},
        **NO_RUN,
        409: {"description": "The runs cannot be compared: `detail` tells why.", **PROBLEM},
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
    return await asked(comparison(turns, request.receive, evaluations, run_id, other, owner, wanted))


@router.get(
    f"{ONE}/events",
    operation_id="follow_evaluation",
    summary="A run's progress, live",
    response_class=Response,
    response_model=None,
    responses={
        200: {"description": "The events.", "content": EVENTS},
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
    run = await asked(evaluations.get(run_id, owner))
    if run.state == SEALED and request.headers.get("last-event-id") == SEALED:
        return Response(status_code=204)  # which tells an EventSource not to come again
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return EventSourceResponse(events(request.app.state, evaluations, run_id, owner), headers=headers)
