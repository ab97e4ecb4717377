"""What can be read about the service: the catalogue, the limits and health."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from schemas.batch import MAX_LOSSES
from schemas.catalogue import Catalogue, CatalogueEntry, catalogue, entry
from schemas.evaluation.batch import MAX_BATCHES
from schemas.losses import LOSSES, resolve
from schemas.nested import MAX_DIMS
from schemas.tensor import MAX_TENSORS
from service.http.problems import AGAIN, MAX_ERRORS, HTTPProblem, stopping
from service.settings import Settings
from service.wire.json import MAX_DEPTH
from service.wire.structure import MAX_CONTAINERS

router = APIRouter()


class Limits(BaseModel):
    """What one request may need at most."""

    body_bytes: int = Field(description="Bytes of a request's body.")
    decompressed_bytes: int = Field(description="Bytes of a body once its Content-Encoding is undone.")
    elements: int = Field(description="Elements: tensors with broadcasts expanded, the loss, and work space.")
    batch_losses: int = Field(description="Losses of a batch call; together they may need as many elements as one may.")
    depth: int = Field(description="Levels of nesting in JSON.")
    dims: int = Field(description="Dims of a tensor.")
    tensors: int = Field(description="Tensors of a request for a loss; POST /v1/optimizer/step takes 4,096.")
    errors: int = Field(description="Faults that one problem lists.")
    containers: int = Field(description="Lists and objects of a large JSON body.")
    inflight_bytes: int = Field(description="Bytes of bodies, tensors and answers in flight in one process.")
    inflight_requests: int = Field(description="Requests to compute in flight in one process.")
    evaluation_batches: int = Field(description="Batches of one call to an evaluation run.")
    evaluation_samples: int = Field(description="Samples of one evaluation run.")
    evaluation_runs: int = Field(description="Evaluation runs that are stored.")
    evaluation_bytes: int = Field(description="Bytes that all stored evaluation runs take together, about.")
    queue_seconds: float = Field(description="Seconds that what is queued may take to be computed.")


class Health(BaseModel):
    """The state of the service."""

    status: str = Field(description="`ok`.", examples=["ok"])


def not_found(name: str) -> HTTPProblem:
    """There is no such loss."""
    return HTTPProblem(404, f"there is no loss {name[:80]!r}; there are {', '.join(LOSSES)}")


LossName = Annotated[str, Path(description="A loss's name, or an alias of it.", examples=["huber_loss"])]

PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}


@router.get(
    "/v1/losses", tags=["catalogue"], operation_id="list_losses", summary="Every loss", response_model=Catalogue
)
async def list_losses() -> Any:
    """Every loss with its formula, tensors, options and an example."""
    return catalogue()


@router.get(
    "/v1/losses/{name}",
    tags=["catalogue"],
    operation_id="get_loss",
    summary="One loss",
    response_model=CatalogueEntry,
    responses={404: {"description": "There is no such loss.", **PROBLEM}},
)
async def get_loss(name: LossName) -> Any:
    """One loss, by its name or an alias of it."""
    cls = resolve(name)
    if cls is None:
        raise not_found(name)
    return entry(cls)


@router.get("/v1/limits", tags=["operations"], operation_id="get_limits", summary="The limits", response_model=Limits)
async def get_limits(request: Request) -> Any:
    """What one request may need at most."""
    return limits(request.app.state.settings)


def limits(settings: Settings) -> Limits:
    """The limits that the settings give."""
    return Limits(
        body_bytes=settings.max_body_bytes,
        decompressed_bytes=settings.max_decompressed_bytes,
        elements=settings.max_elements,
        batch_losses=MAX_LOSSES,
        depth=MAX_DEPTH,
        dims=MAX_DIMS,
        tensors=MAX_TENSORS,
        errors=MAX_ERRORS,
        containers=MAX_CONTAINERS,
        inflight_bytes=settings.max_inflight_bytes,
        inflight_requests=settings.max_inflight_requests,
        evaluation_batches=MAX_BATCHES,
        evaluation_samples=settings.evaluation_max_samples,
        evaluation_runs=settings.evaluation_max_runs,
        evaluation_bytes=settings.evaluation_max_bytes,
        queue_seconds=settings.max_queue_seconds,
    )


@router.get("/livez", tags=["operations"], operation_id="livez", summary="Is the process up?", response_model=Health)
async def livez() -> Any:
    """Answers as long as the process serves at all."""
    return Health(status="ok")


@router.get(
    "/readyz",
    tags=["operations"],
    operation_id="readyz",
    summary="Can it compute?",
    response_model=Health,
    responses={503: {"description": "Starting, stopping, or the worker does not compute.", **PROBLEM}},
)
async def readyz(request: Request) -> Any:
    """Answers 200 when a small loss, computed on the worker within the last second, came out right."""
    state = request.app.state
    if state.draining:
        raise stopping()
    fault = await state.readiness.fault()
    if state.draining:
        raise stopping()
    if fault is not None:
        raise HTTPProblem(503, fault, AGAIN)
    return Health(status="ok")
