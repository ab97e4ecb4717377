"""One sender of a data set's batches: `python -m benchmarks.evaluation.sender`, a process, told in JSON on its input.

It sends its batches in the order given, some twice, and asks again until each is acknowledged. On its standard output:
one JSON object with the calls, the retries, and the seconds.
"""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from benchmarks.evaluation.data import batch
from benchmarks.http.safetensors import write

ROOT = Path(__file__).parents[2]
WAIT = 0.1


def started(told: dict[str, Any]) -> "subprocess.Popen[str]":
    """A process that sends what it is told: `origins`, `path`, `wire`, `rows`, `classes`, `order`.

    With `made` it makes all bodies first, says "ready", and begins at a line on its input. Without, it begins now.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.evaluation.sender"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(told) + "\n")
    if told["made"]:
        process.stdin.flush()
    else:
        process.stdin.close()
        process.stdin = None  # `communicate` is not to close it again
    return process


def body_of(wire: str, at: int, rows: int, classes: int) -> tuple[bytes, str, dict[str, str]]:
    """A batch in that wire: body, media type, further headers.

    `loss` and `gradients` are requests of `POST /v1/loss` in safetensors, without and with gradients.
    """
    logits, target = batch(at, rows, classes)
    if wire in ("loss", "gradients"):
        members: dict[str, Any] = {"loss": "cross_entropy"} | ({"gradients": []} if wire == "loss" else {})
        body = write({"input": logits, "target": target}, {"request": json.dumps(members)})
        return body, "application/vnd.safetensors", {}
    name = f"{at:06}"
    if wire == "json":
        told = {"batch_id": name, "input": logits, "target": target}
        return orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY), "application/json", {}
    if wire == "safetensors":
        told_text = json.dumps({"batch_id": name})
        body = write({"input": logits, "target": target}, {"request": told_text})
        return body, "application/vnd.safetensors", {}
    inputs = [
        {"name": "input", "datatype": "FP32", "shape": logits.shape, "parameters": {"binary_data_size": logits.nbytes}},
        {
            "name": "target",
            "datatype": "INT64",
            "shape": target.shape,
            "parameters": {"binary_data_size": target.nbytes},
        },
    ]
    head = orjson.dumps({"inputs": inputs, "parameters": {"batch_id": name}})
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return head + logits.tobytes() + target.tobytes(), "application/octet-stream", headers


def send(origins: list[tuple[str, int]], path: str, make: Callable[[int], Any], order: list[int]) -> dict[str, float]:
    """Send all batches, each until it is acknowledged; the next server is asked where one does not answer."""
    calls = retries = 0
    turn = 0
    connection: http.client.HTTPConnection | None = None
    began = time.perf_counter()
    for at in order:
        body, media, headers = make(at)
        while True:
            try:
                if connection is None:
                    host, port = origins[turn % len(origins)]
                    connection = http.client.HTTPConnection(host, port, timeout=60)
                calls += 1
                connection.request("POST", path, body, {"Content-Type": media, **headers})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status == 200:
                    break
                if answer.status not in (429, 503):
                    raise SystemExit(f"batch {at}: {answer.status} {text[:500]!r}")
            except (OSError, http.client.HTTPException):
                connection = None
                turn += 1
            retries += 1
            time.sleep(WAIT)
    return {"calls": calls, "retries": retries, "seconds": time.perf_counter() - began}


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    wire, rows, classes = asked["wire"], asked["rows"], asked["classes"]
    ready = {at: body_of(wire, at, rows, classes) for at in set(asked["order"])} if asked["made"] else None
    print("ready", flush=True)
    sys.stdin.readline()  # the word to begin, or the end of the input

    make = (lambda at: body_of(wire, at, rows, classes)) if ready is None else ready.__getitem__
    print(json.dumps(send([tuple(one) for one in asked["origins"]], asked["path"], make, asked["order"])))


if __name__ == "__main__":
    main()
