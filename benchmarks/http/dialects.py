"""The bytes that servers are sent and that they answer, one record a body form and API."""

import json

import numpy as np
from numpy.typing import NDArray

from benchmarks.http.cases import Answer, Dialect, Problem


def _row(row: NDArray[np.float32]) -> str:
    # NumPy writes a float32 scalar with the fewest digits that read back the same; float() first would give 17 of them.
    return f"[{','.join(str(number) for number in row)}]"


def _loss_json(asked: Problem) -> bytes:
    rows = ",".join(_row(row) for row in asked.logits)
    target = ",".join(str(index) for index in asked.target)
    return f'{{"loss":"cross_entropy","input":[{rows}],"target":[{target}]}}'.encode()


def _answer_json(body: bytes) -> Answer:
    answer = json.loads(body)
    return Answer(answer["loss"], np.array(answer["gradients"]["input"], dtype=np.float32))


JSON = {"Content-Type": "application/json"}
LOSS_JSON = Dialect("/v1/loss", JSON, _loss_json, _answer_json)
ECHO_JSON = Dialect("/{answer_bytes}", JSON, _loss_json, None)
