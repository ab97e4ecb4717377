"""The cross entropy under BentoML, as documented: `bentoml serve` starts it."""

from pathlib import Path
from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import ContentType, DType

from benchmarks.peers.cross_entropy import compute, from_lists, from_raw, to_raw

Floats = Annotated[np.ndarray, DType("float32")]
Integers = Annotated[np.ndarray, DType("int64")]
Bytes = Annotated[bytes, ContentType("application/octet-stream")]


class Gradients(bentoml.IODescriptor):
    input: Floats


class Answer(bentoml.IODescriptor):
    loss: float
    gradients: Gradients


# Unbatched. `batchable=True` takes one list: each caller sends a list of one. Batches of up to 16 were 1.4 times as
# fast on 1x10 JSON at 16 connections, and 0.2 to 0.3 times at one and on 32x1000; given a `max_latency_ms` of 100,
# BentoML turned callers away.
@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Loss:
    """NumPy arrays, which BentoML reads from JSON and writes, and a form's file, answered in bytes.

    The functions are coroutines, which BentoML calls without a thread.
    """

    @bentoml.api
    async def json(self, input: Floats, target: Integers) -> Answer:  # noqa: A002 # a member of the body
        loss, gradient = compute(from_lists(input, target))
        return Answer(loss=loss, gradients=Gradients(input=gradient.numpy()))

    @bentoml.api
    async def file(self, file: Path) -> Bytes:
        return to_raw(compute(from_raw(file.read_bytes())))  # noqa: ASYNC240 # it was written a moment ago
