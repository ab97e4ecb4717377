"""The cross entropy under LitServe, as documented: `python -m benchmarks.peers.litserve.documented PORT`."""

import sys

import litserve
from fastapi import Request, Response
from fastapi.responses import JSONResponse

from benchmarks.peers.cross_entropy import Asked, Found, compute, from_lists, from_raw, to_lists, to_raw


class Json(litserve.LitAPI):
    """JSON, which LitServe parses. Unbatched: batches of up to 16 were slower, without and with a wait."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    # Told that it is a `Request`, or nothing, LitServe passes what it has parsed.
    def decode_request(self, request: Request) -> Asked:
        return from_lists(request["input"], request["target"])

    def predict(self, asked: Asked) -> Found:
        return compute(asked)

    # A bare dict would be converted number by number first.
    def encode_response(self, output: Found) -> Response:
        return JSONResponse(to_lists(output))


class File(Json):
    """Raw bytes as a form's file; the answer has a media type of its own, as LitServe's pages return images."""

    def decode_request(self, request: Request) -> Asked:
        return from_raw(request["file"].file.read())

    def encode_response(self, output: Found) -> Response:
        return Response(to_raw(output), media_type="application/octet-stream")


if __name__ == "__main__":
    # Each of the two has a worker of its own.
    apis = [Json(api_path="/json"), File(api_path="/file")]
    server = litserve.LitServer(apis, accelerator="cpu", workers_per_device=1, timeout=False)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
