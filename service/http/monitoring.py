"""`GET /metrics` for Prometheus, and `GET /v1/stats`: the same figures as JSON."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.http.metrics.exposition import expose
from service.http.metrics.metrics import Metrics
from service.http.stats import Stats, stats

metrics_router = APIRouter(tags=["operations"])


@metrics_router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(request: Request) -> Response:
    """The metrics of all server processes, in Prometheus's text form; in OpenMetrics where `Accept` asks for it."""
    metrics: Metrics = request.app.state.metrics
    whole = await metrics.whole()
    text, media_type = expose(whole.over_all, request.headers.get("accept", ""))
    return Response(text, headers={"content-type": media_type})


@metrics_router.get("/v1/stats", operation_id="get_stats", summary="Statistics", response_model=Stats)
async def get_stats(request: Request) -> Any:
    """What the service has been asked for since it started, how long it took, and how it stands now."""
    metrics: Metrics = request.app.state.metrics
    return stats(await metrics.whole(), request.app.state)
