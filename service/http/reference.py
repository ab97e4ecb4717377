"""What can be read about the service: the catalogue, the limits, health, and the documentation page."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, Response

from schemas.batch import MAX_LOSSES
from schemas.catalogue import Catalogue, CatalogueEntry, catalogue, entry
from schemas.losses import LOSSES, resolve
from schemas.nested import MAX_DIMS
from schemas.tensor import MAX_TENSORS
from service.http.problems import MAX_ERRORS, HTTPProblem
from service.http.readiness import computes
from service.settings import Settings
from service.wire.json import MAX_DEPTH

router = APIRouter()

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}


class Limits(BaseModel):
    """What one request may need at most."""

    body_bytes: int = Field(description="Bytes of a request's body.")
    decompressed_bytes: int = Field(description="Bytes of a body once its Content-Encoding is undone.")
    elements: int = Field(description="Elements: tensors with broadcasts expanded, the loss, and work space.")
    batch_losses: int = Field(description="Losses of a batch call; together they may need as many elements as one may.")
    depth: int = Field(description="Levels of nesting in JSON.")
    dims: int = Field(description="Dims of a tensor.")
    tensors: int = Field(description="Tensors of a request.")
    errors: int = Field(description="Faults that one problem lists.")


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
    """Answers 200 when a small loss, computed on the worker just now, came out right."""
    try:
        right = await computes(request.app.state)
    except TimeoutError:
        raise HTTPProblem(503, "the probe computation did not come back in time", {"retry-after": "1"}) from None
    if not right:
        raise HTTPProblem(503, "the probe computation failed", {"retry-after": "1"})
    return Health(status="ok")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The interactive documentation, served whole by this process."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title=f"{request.app.title} API",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon-32x32.png",
        swagger_ui_parameters={"defaultModelsExpandDepth": 0, "docExpansion": "list", "filter": True},
    )


@router.get("/docs/{name}", include_in_schema=False)
async def docs_asset(name: str) -> Response:
    """A file of the documentation page."""
    if name not in ASSETS:
        raise HTTPProblem(404, f"there is nothing at /docs/{name}")
    content = files("fastapi_swagger").joinpath("resources", name).read_bytes()
    return Response(content, media_type=ASSETS[name], headers={"cache-control": "public, max-age=86400"})
