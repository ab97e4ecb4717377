"""The Open Inference Protocol over HTTP (`/v2`): every loss is a model, of one version."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Request

from schemas.losses import LOSSES
from schemas.oip import (
    PLATFORM,
    ModelConfig,
    ModelIndex,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    config,
    metadata,
)
from schemas.problem import MALFORMED, Fault, InvalidRequest, pointer
from schemas.request import LossRequest
from service.http.body import combined
from service.http.compute import Computing
from service.http.edge.connection import Buffer
from service.http.metrics.metrics import Metrics
from service.http.oip_infer import NO_MODEL, ModelName, check_type, model
from service.http.openapi import PROBLEMS
from service.http.problems import HTTPProblem
from service.http.reference import PROBLEM, readyz
from service.http.statistics import Statistics, statistics
from service.wire import oip

EXTENSIONS: Final = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository(index)",
    "parameters",
    "statistics",
]
INDEX_BYTES: Final = 4096
"""Bytes of a request for the index, which has one member: it is read on the event loop."""
NOT_READY: Final[dict[int | str, dict[str, Any]]] = {
    503: {"description": "Starting, stopping, or the worker does not compute.", **PROBLEM}
}


def asked(name: ModelName, request: Request) -> type[LossRequest]:
    """The loss that the path names, in the version that it may name."""
    return model(name, request.path_params.get("version"))


Asked = Annotated[type[LossRequest], Depends(asked)]

router = APIRouter(tags=["open inference protocol"])


@router.get("/v2/", include_in_schema=False)
@router.get("/v2", operation_id="server_metadata", summary="The server", response_model=ServerMetadata)
async def server_metadata() -> Any:
    """The server's name, version and extensions."""
    return ServerMetadata(name=PLATFORM, version=version_of("gradwire"), extensions=EXTENSIONS)


@router.get("/v2/health/live", operation_id="server_live", summary="Is the server live?", response_model=ServerLive)
async def server_live() -> Any:
    """Answers as long as the process serves at all."""
    return ServerLive(live=True)


@router.get(
    "/v2/health/ready",
    operation_id="server_ready",
    summary="Is the server ready?",
    response_model=ServerReady,
    responses=NOT_READY,
)
async def server_ready(request: Request) -> Any:
    """Answers 200 when a small loss, computed on the worker just now, came out right."""
    await readyz(request)
    return ServerReady(ready=True)


@router.get(
    "/v2/models/stats", operation_id="all_statistics", summary="Every loss's statistics", response_model=Statistics
)
async def all_statistics(request: Request) -> Any:
    """What every loss has been asked for since the service started, over all its processes."""
    return await _counted(request, *LOSSES)


@router.get("/v2/models/{name}/versions/{version}", response_model_exclude_none=True, include_in_schema=False)
@router.get(
    "/v2/models/{name}",
    operation_id="model_metadata",
    summary="One loss as a model",
    response_model=ModelMetadata,
    response_model_exclude_none=True,
    responses=NO_MODEL,
)
async def model_metadata(cls: Asked) -> Any:
    """A loss's inputs and outputs."""
    return metadata(cls)


@router.get("/v2/models/{name}/versions/{version}/ready", include_in_schema=False)
@router.get(
    "/v2/models/{name}/ready",
    operation_id="model_ready",
    summary="Can a loss be computed?",
    response_model=ModelReady,
    responses={**NO_MODEL, **NOT_READY},
)
async def model_ready(request: Request, cls: Asked) -> Any:
    """Answers 200 when the server is ready, since all losses are then."""
    await readyz(request)
    return ModelReady(name=cls.name, ready=True)


@router.get("/v2/models/{name}/versions/{version}/config", response_model_exclude_none=True, include_in_schema=False)
@router.get(
    "/v2/models/{name}/config",
    operation_id="model_config",
    summary="One loss's configuration",
    response_model=ModelConfig,
    response_model_exclude_none=True,
    responses=NO_MODEL,
)
async def model_config(cls: Asked) -> Any:
    """A loss in Triton's configuration of a model."""
    return config(cls)


@router.get("/v2/models/{name}/versions/{version}/stats", include_in_schema=False)
@router.get(
    "/v2/models/{name}/stats",
    operation_id="model_statistics",
    summary="One loss's statistics",
    response_model=Statistics,
    responses=NO_MODEL,
)
async def model_statistics(request: Request, cls: Asked) -> Any:
    """What a loss has been asked for since the service started, over all its processes."""
    return await _counted(request, cls.name)


@router.post(
    "/v2/repository/index",
    operation_id="repository_index",
    summary="Every loss as a model",
    response_model=list[ModelIndex],
    responses={status: PROBLEMS[status] for status in (400, 408, 413, 415, 422)},
    openapi_extra={
        "requestBody": {
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "ready": {"type": "boolean", "description": "Only what is ready, as all losses are."}
                        },
                        "additionalProperties": False,
                    },
                    "example": {"ready": True},
                }
            }
        }
    },
)
async def repository_index(request: Request) -> Any:
    """Every loss, all of them ready. The body may be empty."""
    headers = combined(request.scope["headers"])
    check_type(headers.get(b"content-type"))
    computing: Computing = request.app.state.computing
    _check_index(await computing.body(request.scope, request.receive, headers))
    return [ModelIndex(name=name, version=oip.VERSION, state="READY", reason="") for name in LOSSES]


def _check_index(body: Buffer) -> None:
    if not len(body):
        return
    if len(body) > INDEX_BYTES:
        raise HTTPProblem(413, f"the body is larger than the {INDEX_BYTES} bytes that an index may be asked for in")
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest([Fault("", f"the body is no JSON: {error.msg}", MALFORMED)]) from None
    if type(asked) is not dict:
        raise InvalidRequest([Fault("", "the body is no JSON object", MALFORMED)])
    faults = [Fault(pointer(name), "unknown member; did you mean ready?") for name in asked if name != "ready"]
    if type(asked.get("ready", False)) is not bool:
        faults.append(Fault("/ready", "must be true or false"))
    if faults:
        raise InvalidRequest(faults)


async def _counted(request: Request, *losses: str) -> Statistics:
    metrics: Metrics = request.app.state.metrics
    return statistics((await metrics.whole()).over_all, *losses)
