"""The cross entropy under MLServer, in custom handlers of a model: `mlserver start` on `models/bare/` starts it."""

from mlserver import MLModel
from mlserver.handlers import custom_handler
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.cross_entropy import compute, from_json, from_raw, to_json, to_raw


class Loss(MLModel):
    """Asked through custom handlers, which go around MLServer's Open Inference Protocol and its batching."""

    async def load(self) -> bool:
        return True

    @custom_handler(rest_path="/json")
    async def json(self, request: Request) -> Response:
        return Response(to_json(compute(from_json(await request.body()))), media_type="application/json")

    @custom_handler(rest_path="/raw")
    async def raw(self, request: Request) -> Response:
        return Response(to_raw(compute(from_raw(await request.body()))), media_type="application/octet-stream")
