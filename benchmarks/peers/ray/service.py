"""The cross entropy under Ray Serve: `python -m benchmarks.peers.ray.service FOLDER`, Ray's own files in that folder.

`benchmarks.peers.services` says on which port it is asked, and how Ray is told to be quick.
"""

import signal
import sys

import ray
from ray import serve
from ray.serve._private import replica
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.cross_entropy import compute, from_json, from_raw, to_json, to_raw


class Loss:
    """Unbatched: `serve.batch` brought up to a fifth on 1x10 at 16 connections, and took up to two fifths elsewhere."""

    def __init__(self) -> None:
        # The replica's server for other replicas, of which there are none, would listen on every interface.
        replica.add_port_to_grpc_server = lambda server, _: server.add_insecure_port("127.0.0.1:0")

    async def __call__(self, request: Request) -> Response:
        body = await request.body()
        if request.url.path == "/json":
            return Response(to_json(compute(from_json(body))), media_type="application/json")
        if request.url.path == "/raw":
            return Response(to_raw(compute(from_raw(body))), media_type="application/octet-stream")
        return Response("ready")


if __name__ == "__main__":
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200_000_000,
        _temp_dir=sys.argv[1],
    )
    serve.start(http_options={"host": "127.0.0.1", "port": 0})
    deployed = serve.deployment(num_replicas=1, max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})(Loss)
    serve.run(deployed.bind(), route_prefix="/")
    signal.pause()
