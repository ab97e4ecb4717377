"""The cross entropy under Ray Serve, as documented: `python -m benchmarks.peers.ray.documented FOLDER PORT`.

Ray's own files go into that folder, and its proxy listens on that port.
"""

import sys

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from benchmarks.peers.cross_entropy import compute, from_lists, from_raw, to_lists, to_raw
from benchmarks.peers.ray.deployment import OnLoopback, run


class Loss(OnLoopback):
    """Unbatched: `serve.batch` with batches of up to 16 and no wait brought nothing behind the proxy."""

    async def __call__(self, request: Request) -> Response:
        if request.url.path == "/json":
            members = await request.json()
            found = compute(from_lists(members["input"], members["target"]))
            # A bare dict would be converted number by number first.
            return JSONResponse(to_lists(found))
        if request.url.path == "/raw":
            found = compute(from_raw(await request.body()))
            return Response(to_raw(found), media_type="application/octet-stream")
        return Response("ready")


if __name__ == "__main__":
    run(Loss, sys.argv[1], int(sys.argv[2]))
