"""The routes of evaluation runs that read bodies: a run is made and changed, and batches are added."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final

import orjson
from fastapi import Header
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from schemas.evaluation.batch import BATCH_ID, ID_WANTED, EvaluationBatch
from schemas.evaluation.run import BatchAdded, EvaluationAnswer, EvaluationChange, run_change, run_spec
from schemas.evaluation.spec import RunSpec
from schemas.problem import InvalidRequest
from service.http.body import aside, combined
from service.http.compute import Computing
from service.http.evaluations.batches import idempotency_key
from service.http.evaluations.routes import NO_RUN, OFF, ONE, PATH, TAG, Responses, RunId, as_json, asked
from service.http.evaluations.runs import Runs, owner_of, told
from service.http.negotiation import JSON, form_of
from service.http.openapi import PROBLEMS
from service.http.problems import HTTPProblem
from service.http.reference import PROBLEM
from service.wire.json import check_depth, malformed, no_json

READ_ASIDE: Final = 64 << 10
"""Bytes from which on a body is read beside the event loop: a Python object is made for each number in it."""
FULL: Final[Responses] = {507: {"description": "The store is full.", **PROBLEM}}
LOCATION: Final = {"Location": {"$ref": "#/components/headers/Location"}}

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=f"^{BATCH_ID.pattern}$",
        description=f"The request, sent again with it, counts once. {ID_WANTED[0].upper()}{ID_WANTED[1:]}.",
    ),
]

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
    run, created = await asked(evaluations.create(spec, owner_of(scope), key))
    answer = await as_json(lambda: told(run), 201 if created else 200, {"location": f"{PATH}/{run.id}"})
    await answer(scope, receive, send)


async def change(computing: Computing, runs: Runs, scope: Scope, receive: Receive, send: Send) -> None:
    """Seal, rename or tag a run."""
    run_id = scope["path_params"]["id"]
    wanted = await aside(run_change, await _members(computing, scope, receive))
    evaluations = await runs.evaluations()
    run = await asked(
        evaluations.change(run_id, owner_of(scope), name=wanted.name, tags=wanted.tags, sealed=wanted.state == "sealed")
    )
    answer = await as_json(lambda: told(run))
    await answer(scope, receive, send)


def writing_routes(computing: Computing, runs: Runs, batches: Serve) -> list[APIRoute]:
    """The routes that read bodies: making and changing a run, and adding batches."""

    async def create_evaluation(request: RunSpec, key: Key = None) -> Any:
        """Only a signature."""

    async def change_evaluation(run_id: RunId, request: EvaluationChange) -> Any:
        """Only a signature."""

    async def add_batches(run_id: RunId, request: EvaluationBatch, key: Key = None) -> Any:
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
            responses={**PROBLEMS, **NO_RUN, **FULL},
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
