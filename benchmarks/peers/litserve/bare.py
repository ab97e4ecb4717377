"""The cross entropy under LitServe: `python -m benchmarks.peers.litserve.bare PORT`."""

import sys
from typing import Annotated

import litserve
from fastapi import Body, Response

from benchmarks.peers.cross_entropy import Asked, Found, compute, from_json, from_raw, to_json, to_raw

# JSON too is taken as bytes: LitServe would parse it with the standard library and pickle the lists for its worker,
# which was half as fast on 32x1000.
Bytes = Annotated[bytes, Body(media_type="application/octet-stream")]


class Json(litserve.LitAPI):
    """Unbatched, which is LitServe's default: batches of up to 16, with a timeout of 1 ms, brought nothing here."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def decode_request(self, request: Bytes) -> Asked:
        return from_json(request)

    def predict(self, asked: Asked) -> Found:
        return compute(asked)

    def encode_response(self, output: Found) -> Response:
        return Response(to_json(output), media_type="application/json")


class Raw(Json):
    """The same, in raw bytes."""

    def decode_request(self, request: Bytes) -> Asked:
        return from_raw(request)

    def encode_response(self, output: Found) -> Response:
        return Response(to_raw(output), media_type="application/octet-stream")


if __name__ == "__main__":
    # Each of the two has a worker of its own. `fast_queue` (ZeroMQ between the processes) brought nothing here.
    apis = [Json(api_path="/json"), Raw(api_path="/raw")]
    server = litserve.LitServer(apis, accelerator="cpu", workers_per_device=1, timeout=False)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
