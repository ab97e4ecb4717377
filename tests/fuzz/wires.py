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
from tests.binary import MEDIA_TYPE, forge, pack, unpack
from tests.examples import arrays_of
from tests.fuzz.mutations import Sample


class Fuzzed(NamedTuple):
    """A wire: where bodies go, sound samples of them, how a sample's text and data make one, how an answer is read."""

    name: str
    path: str
    headers: dict[str, str]
    samples: Callable[[], list[Sample]]
    join: Callable[[Sample], bytes]
    read: Callable[[bytes], Any]


def json_samples() -> list[Sample]:
    """Every loss's example as lists, and as objects with a flat list and with base64."""
    found = []
    for cls in LOSSES.values():
        found.append(Sample(json.dumps(example(cls)).encode()))
        tensors, members = arrays_of(cls)
        for name, array in tensors.items():
            if "." not in name:
                raw = base64.b64encode(array.tobytes()).decode()
                data = raw if len(found) % 2 else array.reshape(-1).tolist()
                members[name] = {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}
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
    """Every loss's example, all its tensors binary; and with a cotangent and options."""
    found = []
    for cls in LOSSES.values():
        tensors, members = arrays_of(cls)
        cotangent = {"cotangent": np.array(2.0, np.float16)}
        more = {"reduction": "sum", "on_empty": "zero", "gradients": [*tensors][:1]}
        for body in (pack(tensors, **members), pack({**tensors, **cotangent}, **{**members, **more})):
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
)
