"""A vector's request, sent to the service, is answered as the vector says: to the bit, in every form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.losses import LOSSES
from service.wire import safetensors
from tests.asgi import InProcess
from tests.vectors.made import document, made


@pytest.mark.parametrize("name", LOSSES)
def test_every_vector_is_answered_as_it_says(client: InProcess, name: str) -> None:
    lines = made(name).as_json().splitlines()[1:-1]
    for case, line in zip(document(name)["cases"], lines, strict=True):
        answer = client.post(json.dumps(case["request"]).encode())
        assert answer.status_code == 200, (case["name"], answer.text)
        assert b'"expected":' + answer.content + b',"tolerance":' in line, (case["name"], answer.text)


@pytest.mark.parametrize("name", LOSSES)
def test_every_binary_vector_is_answered_as_it_says(client: InProcess, name: str) -> None:
    file = safetensors.read(made(name).as_safetensors(), max_tensors=1 << 16)
    document = json.loads(file.metadata["vectors"])
    tensors = {one: tensor.array for one, tensor in file.tensors.items()}
    for case in document["cases"]:
        asked = _under(tensors, f"{case['name']}.request.")
        body = b"".join(safetensors.write(asked, {"request": json.dumps(case["request"])}))
        answer = client.post(body, content_type=safetensors.MEDIA_TYPE)
        assert answer.status_code == 200, (case["name"], answer.text)
        told = safetensors.read(answer.content, 64)
        expected = _under(tensors, f"{case['name']}.expected.")
        assert told.tensors.keys() == expected.keys()
        for one, tensor in told.tensors.items():
            assert tensor.array.dtype == expected[one].dtype
            assert tensor.array.shape == expected[one].shape
            assert tensor.array.tobytes() == expected[one].tobytes(), (case["name"], one)
        assert json.loads(told.metadata["result"]) == case["expected"]


def _under(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
