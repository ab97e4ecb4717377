"""The bytes that the peers are sent and that they answer: Gradwire's JSON, and raw bytes."""

import struct
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.http.cases import Answer, Problem
from benchmarks.http.dialects import LOSS_JSON, Dialect

BYTES = {"Content-Type": "application/octet-stream"}


def raw(call: Sequence[Problem]) -> bytes:
    """Rows and classes (int32), the targets (int64), the logits (float32): the least that a peer can be sent."""
    (asked,) = call
    return struct.pack("<ii", *asked.input.shape) + asked.target.tobytes() + asked.input.tobytes()


def answer_raw(body: bytes) -> list[Answer]:
    """The loss, then its gradient (float32), of which the shape is left to the caller."""
    values = np.frombuffer(body, dtype="<f4")
    return [Answer(float(values[0]), values[1:])]


def at(path: str, form: str) -> Dialect:
    return replace(FORMS[form], path=path)


FORMS = {
    "json": LOSS_JSON,
    "raw": Dialect("", BYTES, raw, answer_raw),
    "json as bytes": replace(LOSS_JSON, headers=BYTES),
}
