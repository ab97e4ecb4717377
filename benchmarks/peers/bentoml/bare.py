"""The cross entropy under BentoML, as an ASGI application mounted in a service: `bentoml serve` starts it."""

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.peers.cross_entropy import compute, from_json, from_raw, to_json, to_raw


async def post_json(request: Request) -> Response:
    return Response(to_json(compute(from_json(await request.body()))), media_type="application/json")


async def post_raw(request: Request) -> Response:
    return Response(to_raw(compute(from_raw(await request.body()))), media_type="application/octet-stream")


# Mounted, as BentoML's pages on ASGI applications show: this goes around the Pydantic model that it makes of an API's
# signature, and around its batching.
mounted = Starlette(routes=[Route("/json", post_json, methods=["POST"]), Route("/raw", post_raw, methods=["POST"])])


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
@bentoml.asgi_app(mounted, path="/loss")
class Loss:
    """No API of its own."""
