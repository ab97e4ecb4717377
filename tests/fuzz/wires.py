"""The wires that mutated bodies are sent through. A further one is one more record in `FUZZED`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from schemas.catalogue import example
from schemas.losses import LOSSES
from tests.asgi import strict
from tests.binary import MEDIA_TYPE, Array, forge, pack, unpack
from tests.examples import arrays_of
from tests.fuzz.mutations import Sample
from tests.oip import speaking as oip


class Fuzzed(NamedTuple):
    """A wire: where bodies go, sound samples of them, how a sample's text and data make one, how an answer is read."""

    name: str
    path: str
    headers: dict[str, str]
    samples: Callable[[], list[Sample]]
    join: Callable[[Sample], bytes]
    read: Callable[[bytes], Any]
    split: Callable[[bytes], tuple[dict[str, str], bytes]] = lambda body: ({}, body)
    """Further headers, which a body brings with it, and the body without them."""


def json_samples() -> list[Sample]:
    """Every loss's example as lists, and as objects with a flat list and with base64."""
    found = []
    for cls in LOSSES.values():
        found.append(Sample(json.dumps(example(cls)).encode()))
        tensors, members = arrays_of(cls)
        for name, array in tensors.items():
            raw = base64.b64encode(array.tobytes()).decode()
            data = raw if len(found) % 2 else array.reshape(-1).tolist()
            written = {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}
            if "." not in name:
                members[name] = written
            elif name.startswith("tensors."):
                members.setdefault("tensors", {})[name.removeprefix("tensors.")] = written
        if "cutoffs" not in members:
            more = {"reduction": "sum", "cotangent": 2.0, "dtype": "float64", "on_empty": "zero", "encoding": "base64"}
            found.append(Sample(json.dumps({**members, **more}).encode()))
            found.append(Sample(json.dumps({**members, "reduction": "none", "gradients": []}).encode()))
    return found


def large_json_samples() -> list[Sample]:
    """Bodies that are large enough for the other reader."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(60, 20)).round(4).tolist()
    targets = rng.integers(0, 20, 60).tolist()
    return [
        Sample(json.dumps({"loss": "cross_entropy", "input": rows, "target": targets}).encode()),
        Sample(json.dumps({"loss": "mse_loss", "input": rows, "target": rows, "reduction": "none"}).encode()),
    ]


def safetensors_samples() -> list[Sample]:
    """Every loss's example, all its tensors binary; and with options and one cotangent, or two."""
    found = []
    for cls in LOSSES.values():
        tensors, members = arrays_of(cls)
        cotangent = {"cotangent": np.array(2.0, np.float16)}
        more = {"reduction": "sum", "on_empty": "zero", "gradients": [next(iter(tensors)).removeprefix("tensors.")]}
        cotangents = {"cotangents": np.array([2.0, 0.5], np.float16)}
        for upstream, options in (({}, {}), (cotangent, more), (cotangents, more)):
            body = pack({**tensors, **upstream}, **{**members, **options})
            start = 8 + int.from_bytes(body[:8], "little")
            found.append(Sample(body[8:start], body[start:]))
    return found


def inference_samples(*, binary: bool) -> list[Sample]:
    """Cross entropies by the Open Inference Protocol: with weights and options, and with chosen outputs."""
    rng = np.random.default_rng(2)
    tensors: dict[str, Array] = {
        "input": rng.normal(size=(3, 4)).astype(np.float32),
        "target": rng.integers(0, 4, 3),
        "weight": rng.uniform(0.5, 2, 4),
    }
    inputs = [(oip.of_binary if binary else oip.of_json)(name, array) for name, array in tensors.items()]
    options = {"reduction": "sum", "label_smoothing": 0.1, "ignore_index": 1, "binary_data_output": binary}
    wanted = [{"name": "gradients.weight"}, {"name": "loss", "parameters": {"binary_data": not binary}}]
    documents: list[dict[str, Any]] = [
        {"inputs": inputs},
        {"id": "a", "inputs": inputs, "parameters": {**options, "timeout": 60_000_000, "priority": 1}},
        {"inputs": inputs[:2], "outputs": wanted[1:], "parameters": {"dtype": "float64"}},
    ]
    found = []
    for document in documents:
        named = [entry["name"] for entry in document["inputs"]]
        data = b"".join(tensors[name].tobytes() for name in named) if binary else b""
        found.append(Sample(json.dumps(document).encode(), data))
    return found


def with_length(sample: Sample) -> bytes:
    """The body of an inference request, behind the eight digits that its header tells of its JSON."""
    return b"%08d" % len(sample.text) + sample.text + sample.data


def length_off(body: bytes) -> tuple[dict[str, str], bytes]:
    """The header, and the body."""
    return {"inference-header-content-length": body[:8].decode("latin-1")}, body[8:]


def batch_samples() -> list[Sample]:
    """Every loss's example in batch calls of four, and one of eight alike."""
    examples = [{"id": at, **example(cls)} for at, cls in enumerate(LOSSES.values())]
    calls = [examples[at : at + 4] for at in range(0, len(examples), 4)]
    calls.append([{**example(LOSSES["huber_loss"]), "delta": 0.5}] * 8)
    return [Sample(json.dumps({"requests": call}).encode()) for call in calls]


def binary_batch_samples() -> list[Sample]:
    """Two losses' examples in each batch call, and one of eight alike."""
    names = list(LOSSES)
    found = []
    for call in [*zip(names[::2], names[1::2], strict=False), ("huber_loss",) * 8]:
        tensors: dict[str, Array] = {}
        rest = []
        for at, name in enumerate(call):
            own, members = arrays_of(LOSSES[name])
            tensors |= {f"{at}.{tensor}": array for tensor, array in own.items()}
            rest.append(members)
        body = pack(tensors, requests=rest)
        start = 8 + int.from_bytes(body[:8], "little")
        found.append(Sample(body[8:start], body[start:]))
    return found


JSON: Final = {"content-type": "application/json"}
BINARY: Final = {"content-type": MEDIA_TYPE}
FUZZED: Final = (
    Fuzzed("JSON", "/v1/loss", JSON, json_samples, lambda sample: sample.text + sample.data, strict),
    Fuzzed("large JSON", "/v1/loss", JSON, large_json_samples, lambda sample: sample.text + sample.data, strict),
    Fuzzed(
        "safetensors", "/v1/loss", BINARY, safetensors_samples, lambda sample: forge(sample.text, sample.data), unpack
    ),
    Fuzzed("batch call, JSON", "/v1/loss/batch", JSON, batch_samples, lambda sample: sample.text + sample.data, strict),
    Fuzzed(
        "batch call, safetensors",
        "/v1/loss/batch",
        BINARY,
        binary_batch_samples,
        lambda sample: forge(sample.text, sample.data),
        unpack,
    ),
    Fuzzed(
        "Open Inference Protocol, JSON",
        "/v2/models/cross_entropy/infer",
        JSON,
        lambda: inference_samples(binary=False),
        lambda sample: sample.text + sample.data,
        bytes,  # the answer to a mutated request may be in either form
    ),
    Fuzzed(
        "Open Inference Protocol, binary",
        "/v2/models/cross_entropy/infer",
        {},
        lambda: inference_samples(binary=True),
        with_length,
        bytes,
        length_off,
    ),
)
