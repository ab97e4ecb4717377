"""The bytes that peers are sent and that they answer: Gradwire's JSON, raw bytes, and each framework's own forms."""

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.http.cases import Answer, Problem
from benchmarks.http.dialects import JSON, LOSS_JSON, Dialect, numbers

BYTES = {"Content-Type": "application/octet-stream"}


def raw(call: Sequence[Problem]) -> bytes:
    """Rows and classes (int32), the targets (int64), the logits (float32): the least that a peer can be sent."""
    (asked,) = call
    return struct.pack("<ii", *asked.input.shape) + asked.target.tobytes() + asked.input.tobytes()


def answer_raw(body: bytes) -> list[Answer]:
    """The loss, then its gradient (float32), of which the shape is left to the caller."""
    values = np.frombuffer(body, dtype="<f4")
    return [Answer(float(values[0]), values[1:])]


BOUNDARY = "benchmark"
_BEFORE = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="loss"\r\n'
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def form_file(call: Sequence[Problem]) -> bytes:
    """The raw bytes as the file of a form, which is how LitServe's and BentoML's pages send files."""
    head = f"{_BEFORE}Content-Type: application/octet-stream\r\n\r\n".encode()
    return head + raw(call) + f"\r\n--{BOUNDARY}--\r\n".encode()


def oip_lists(call: Sequence[Problem]) -> bytes:
    """The Open Inference Protocol's own JSON: tensors with a batch dimension of one, their numbers in one list each."""
    (asked,) = call
    inputs = (("input", "FP32", asked.input), ("target", "INT64", asked.target))
    tensors = [
        f'{{"name":"{name}","datatype":"{datatype}","shape":{json.dumps([1, *array.shape])},'
        f'"data":{numbers(array.ravel())}}}'
        for name, datatype, array in inputs
    ]
    return f'{{"inputs":[{",".join(tensors)}]}}'.encode()


def answer_oip_lists(body: bytes) -> list[Answer]:
    outputs = {output["name"]: output["data"] for output in json.loads(body)["outputs"]}
    return [Answer(outputs["loss"][0], np.array(outputs["gradient"], dtype=np.float32))]


def oip_packed(call: Sequence[Problem]) -> bytes:
    """The raw bytes in base64, which is how MLServer takes bytes over HTTP."""
    member = {"name": "asked", "datatype": "BYTES", "shape": [1, 1], "parameters": {"content_type": "base64"}}
    return json.dumps({"inputs": [{**member, "data": [base64.b64encode(raw(call)).decode()]}]}).encode()


def answer_oip_packed(body: bytes) -> list[Answer]:
    (output,) = json.loads(body)["outputs"]
    return answer_raw(base64.b64decode(output["data"][0]))


def at(path: str, form: str) -> Dialect:
    return replace(FORMS[form], path=path)


FORMS = {
    "json": LOSS_JSON,
    "raw": Dialect("", BYTES, raw, answer_raw),
    "json as bytes": replace(LOSS_JSON, headers=BYTES),
    "form file": Dialect("", FORM, form_file, answer_raw),
    "oip lists": Dialect("", JSON, oip_lists, answer_oip_lists),
    "oip packed": Dialect("", JSON, oip_packed, answer_oip_packed),
}
