"""The application: routes, their documentation, and the engine's life."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, nullcontext
from functools import cached_property, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.catalogue import example, summary
from schemas.losses import ALIASES, LOSSES, AnyLossRequest
from schemas.operations import OPERATIONS
from schemas.request import LossRequest
from schemas.result import LossAnswer
from service.access_log import AccessLog
from service.engine import BatchingEngine, DirectEngine, Engine
from service.http import batch, docs_page, oip
from service.http.access import Access, open_access
from service.http.admission import Admission
from service.http.compute import Computing
from service.http.compute_route import ComputeRoute
from service.http.cors import CORS
from service.http.documents import Documents
from service.http.edge.sweep import Sweep
from service.http.ending import end_when_lost
from service.http.evaluations.batches import run_of, serve_batches
from service.http.evaluations.routes import router as evaluations_router
from service.http.evaluations.runs import Runs
from service.http.evaluations.writing import writing_routes
from service.http.front import Front
from service.http.metrics.metrics import Metrics, Telling
from service.http.metrics.parts import told_by_edge, told_by_engine
from service.http.metrics.traffic import Traffic
from service.http.monitoring import metrics_router
from service.http.oip_infer import infer_routes, infer_templates, infers
from service.http.openapi import DESCRIPTION, PROBLEMS, TAGS, describe
from service.http.operations import operation_route
from service.http.problems import stopping
from service.http.readiness import Readiness
from service.http.reference import not_found, router
from service.http.vectors import VectorFiles, vectors_router
from service.settings import Settings
from service.telemetry import configure

if TYPE_CHECKING:
    from service.http.tracing import Tracing

log = logging.getLogger("gradwire.http")


class Gradwire(FastAPI):
    """FastAPI behind the front: compute requests go straight to their routes, all others through FastAPI."""

    front: Front
    compute_routes: dict[str, ASGIApp]
    """What serves the POSTs to a path that computes."""
    add_batches: ASGIApp
    """What serves those of batches to an evaluation run."""

    @cached_property
    def openapi_text(self) -> bytes:
        """The OpenAPI document as JSON: writing its 350 KB again for everyone who asks would hold up all others."""
        return orjson.dumps(self.openapi())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self.front(scope, receive, send)

    def dispatch(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Find a compute route by its path alone, without asking each route in turn.

        No coroutine of its own: each layer of them costs every request half a microsecond.
        """
        if scope["type"] == "http" and scope["method"] == "POST":
            serve = self.compute_routes.get(scope["path"])
            if serve is not None:
                return serve(scope, receive, send)
            if scope["path"].startswith("/v1/losses/") and not scope["path"].endswith("/vectors"):
                raise not_found(scope["path"].removeprefix("/v1/losses/"))
            if run_of(scope["path"]) is not None:
                return self.add_batches(scope, receive, send)
        return super().__call__(scope, receive, send)

    def refuse_work(self) -> None:
        """Compute nothing that is not asked for yet, and answer the rest as before: the process is about to end."""
        self.compute_routes = dict.fromkeys(self.compute_routes, _refuse)
        self.add_batches = _refuse

    def refuse_rest(self) -> None:
        """Answer what is cancelled from now on with 503."""
        self.front.ended = True

    def build_middleware_stack(self) -> ASGIApp:
        """Only what FastAPI's own routes need lies before the router: all that is raised is the front's."""
        return Documents(AsyncExitStackMiddleware(self.router), self.state.settings.compress_bytes)


def make_engine(settings: Settings) -> Engine:
    """The engine that the settings choose."""
    if settings.engine == "direct":
        return DirectEngine(settings.device, threads=settings.torch_threads)
    return BatchingEngine(
        settings.device,
        threads=settings.torch_threads,
        batch_elements=settings.batch_elements,
        inline_elements=settings.inline_elements,
        stall_seconds=settings.worker_stall_seconds,
    )


def create_app(settings: Settings | None = None, engine: Engine | None = None) -> Gradwire:
    """The ASGI application, with an engine that lives as long as it does. Raises `FaultyKeys`."""
    settings = settings or Settings()
    configure(settings.log_level, settings.log_format)
    engine = engine or make_engine(settings)
    app = Gradwire(
        title="Gradwire",
        version=version("gradwire"),
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_url=None,  # docs_page serves it
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        openapi_tags=TAGS,
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.engine = engine
    app.state.readiness = Readiness(engine, settings.probe_seconds)
    app.state.draining = False
    app.state.access_log = AccessLog(settings.log_format) if settings.access_log else None
    app.state.sweep = Sweep(settings)
    app.state.vectors = VectorFiles()
    access = app.state.access = open_access(settings)
    cors = CORS(settings.cors_origins) if settings.cors_origins else None
    app.compute_routes = {}
    admission = app.state.admission = Admission(settings, engine)
    computing = app.state.computing = Computing(engine, settings, admission)
    paths = templates()
    traffic = Traffic(paths, computing.counters.failed)
    parts: list[Telling] = [
        traffic.told,
        computing.counters.told,
        partial(told_by_engine, engine),
        partial(told_by_edge, app.state),
    ]
    app.state.metrics = Metrics(parts, settings.metrics_dir)
    tracing = app.state.tracing = open_tracing(settings)
    app.front = Front(app.dispatch, app.state.access_log, traffic, tracing, access, cors)
    add_route(app, computing, "/v1/loss", None)
    app.router.routes.append(ComputeRoute(batch.PATH, batch.documented))
    app.compute_routes[batch.PATH] = partial(batch.serve_batch, computing)
    for cls in LOSSES.values():
        add_route(app, computing, f"/v1/losses/{cls.name}", cls)
    for alias, name in ALIASES.items():
        add_route(app, computing, f"/v1/losses/{alias}", LOSSES[name])
    for operation in OPERATIONS.values():
        app.router.routes.append(operation_route(operation))
        app.compute_routes[operation.path] = partial(computing.serve, operation)
    app.compute_routes |= infers(computing)
    runs = app.state.runs = Runs(settings)
    app.add_batches = partial(serve_batches, computing, runs)
    app.router.routes.extend(writing_routes(computing, runs, app.add_batches))
    for served in (
        oip.router,
        router,
        vectors_router,
        evaluations_router,
        docs_page.router,
        *([metrics_router] if settings.metrics else []),
    ):
        app.include_router(served)
        paths |= {path: path for path in (getattr(route, "path", "{") for route in served.routes) if "{" not in path}
    app.router.routes.extend(infer_routes())
    describe(app)
    return app


def templates() -> dict[str, str]:
    """The templates of the routes that are found by their paths alone."""
    operations = [operation.path for operation in OPERATIONS.values()]
    made = {path: path for path in ("/v1/loss", batch.PATH, *operations)}
    for name in (*LOSSES, *ALIASES):
        made[f"/v1/losses/{name}"] = "/v1/losses/{name}"
        made |= dict(infer_templates(name))
    return made


def open_tracing(settings: Settings) -> Tracing | None:
    """The traces that the settings ask for; the packages that they need are loaded only then."""
    if settings.traces == "none":
        return None
    from service.http.tracing import open_tracing  # noqa: PLC0415 - an extra

    return open_tracing(settings.traces)


def add_route(app: Gradwire, computing: Computing, path: str, cls: type[LossRequest] | None) -> None:
    """One compute operation: with its class, or for any loss."""
    alias = cls is not None and not path.endswith(f"/{cls.name}")
    # A loss's path can also be looked at: it is the catalogue's.
    allow = "POST" if cls is None else "GET, HEAD, POST"
    app.router.routes.append(ComputeRoute(path, None if alias else partial(_documented, path, cls), allow=allow))
    app.compute_routes[path] = partial(computing.serve, cls)


def _documented(path: str, cls: type[LossRequest] | None) -> APIRoute:
    """The route of a loss by its own name, or of any."""

    async def operation(request: Any) -> Any:
        """Only a signature."""

    operation.__annotations__ = {"request": cls or AnyLossRequest, "return": LossAnswer}
    return APIRoute(
        path,
        operation,
        methods=["POST"],
        response_model=LossAnswer,
        operation_id=cls.name if cls else "loss",
        name=cls.name if cls else "loss",
        summary=summary(cls) if cls else "Any loss and its gradients",
        description=_describe(cls),
        tags=[cls.about.family] if cls else ["any loss"],
        response_description="The loss and its gradients.",
        responses=PROBLEMS,
        openapi_extra={"requestBody": {"content": {"application/json": _examples(cls)}}},
    )


async def _refuse(*_: object) -> None:
    raise stopping()


def _examples(cls: type[LossRequest] | None) -> dict[str, Any]:
    if cls is not None:
        return {"example": example(cls)}
    return {"examples": {name: {"summary": summary(one), "value": example(one)} for name, one in LOSSES.items()}}


def _describe(cls: type[LossRequest] | None) -> str:
    if cls is None:
        return (
            "The member `loss` names the loss; its tensors and options stand beside it. The catalogue lists them all."
        )
    about = cls.about
    notes = "".join(f"\n- {note}" for note in about.notes)
    return (
        f"{summary(cls)}\n\n```latex\n{about.formula}\n```\n\n**mean** divides by {about.mean}.\n{notes}\n\n"
        f"The member `loss` may be left out. Source: {about.source}."
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine: Engine = app.state.engine
    metrics: Metrics = app.state.metrics
    end_when_lost(app)
    await app.state.runs.start()
    app.state.sweep.fit()
    await engine.start()
    fault = await app.state.readiness.fault()  # also makes torch load what it loads at its first backward pass
    if fault is not None:
        log.error("the first computation did not come out right; /readyz tells when one does", extra={"fault": fault})
    await metrics.start()
    probing = asyncio.create_task(app.state.readiness.keep_asking())
    # What lives as long as the process need not be walked by every full collection.
    gc.collect()
    gc.freeze()
    access: Access | None = app.state.access
    try:
        with nullcontext() if access is None else access.following():
            yield
    finally:
        probing.cancel()
        await app.state.runs.close()
        await engine.stop()
        await metrics.stop()
        if app.state.tracing is not None:
            await app.state.tracing.close()
        if app.state.access_log is not None:
            app.state.access_log.close()
        gc.unfreeze()
