"""The cross entropy under Ray Serve: `python -m benchmarks.peers.ray.bare FOLDER`, Ray's own files in that folder.

`benchmarks.peers.services` says on which port it is asked, and how Ray is told to be quick.
"""

import sys

from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.cross_entropy import compute, from_json, from_raw, to_json, to_raw
from benchmarks.peers.ray.deployment import OnLoopback, run


class Loss(OnLoopback):
    """Unbatched: `serve.batch` brought up to a fifth on 1x10 at 16 connections, and took up to two fifths elsewhere."""

    async def __call__(self, request: Request) -> Response:
        body = await request.body()
        if request.url.path == "/json":
            return Response(to_json(compute(from_json(body))), media_type="application/json")
        if request.url.path == "/raw":
            return Response(to_raw(compute(from_raw(body))), media_type="application/octet-stream")
        return Response("ready")


if __name__ == "__main__":
    run(Loss, sys.argv[1], port=0)  # nobody asks the proxy
