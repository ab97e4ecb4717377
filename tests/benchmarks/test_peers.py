from __future__ import annotations

import base64
import json

import numpy as np
import pytest
import torch

from benchmarks.http.cases import Ask, problems, torch_answer
from benchmarks.http.servers import ROOT
from benchmarks.peers.cross_entropy import compute_together, from_lists, from_raw, to_lists, to_raw
from benchmarks.peers.dialects import BOUNDARY, FORMS, raw
from benchmarks.peers.services import BARE, FOLDERS, PEERS

CALL = problems([Ask("cross_entropy", 3, 5)])


def test_every_peer_has_a_documented_service_and_a_bare_one() -> None:
    names = {peer.name: peer.kind for peer in PEERS}
    documented = {name for name, kind in names.items() if kind == "peer"}
    assert names == dict.fromkeys(documented, "peer") | {f"{name}{BARE}": "bare peer" for name in documented}
    assert set(FOLDERS) == set(names)
    assert all((ROOT / "benchmarks/peers" / folder / "requirements.txt").is_file() for folder in FOLDERS.values())


@pytest.mark.parametrize("shapes", [[(3, 5)], [(3, 5), (3, 5), (3, 5)], [(1, 10), (4, 7)]])
def test_a_batch_gives_each_caller_its_own_mean(shapes: list[tuple[int, int]]) -> None:
    asked = problems([Ask("cross_entropy", *shape) for shape in shapes])
    found = compute_together([from_lists(one.input.tolist(), one.target.tolist()) for one in asked])
    for (loss, gradient), one in zip(found, asked, strict=True):
        right = torch_answer(one)
        assert loss == pytest.approx(right.loss, rel=1e-5)
        assert gradient.numpy() == pytest.approx(right.gradient, rel=1e-5, abs=1e-8)


def test_a_forms_file_is_the_raw_bytes() -> None:
    body = FORMS["form file"].encode(CALL)
    head, rest = body.split(b"\r\n\r\n", 1)
    assert head.startswith(f"--{BOUNDARY}\r\n".encode())
    assert rest == raw(CALL) + f"\r\n--{BOUNDARY}--\r\n".encode()


def test_open_inference_tensors_have_a_batch_dimension() -> None:
    tensors = {one["name"]: one for one in json.loads(FORMS["oip lists"].encode(CALL))["inputs"]}
    assert tensors["input"]["shape"] == [1, 3, 5]
    assert tensors["target"]["shape"] == [1, 3]
    assert np.array_equal(np.array(tensors["input"]["data"], np.float32), CALL[0].input.ravel())
    assert tensors["target"]["data"] == CALL[0].target.tolist()


@pytest.mark.parametrize("form", ["raw", "form file", "oip packed"])
def test_raw_answers_read_back(form: str) -> None:
    decode = FORMS[form].decode
    assert decode is not None
    found = (0.5, torch.tensor([[0.25, -0.25]]))
    body = to_raw(found)
    if form == "oip packed":
        body = json.dumps({"outputs": [{"name": "found", "data": [base64.b64encode(body).decode()]}]}).encode()
    (answer,) = decode(body)
    assert answer.loss == 0.5
    assert answer.gradient.tolist() == [0.25, -0.25]


def test_packed_bytes_hold_the_problem() -> None:
    (sent,) = json.loads(FORMS["oip packed"].encode(CALL))["inputs"]
    logits, target = from_raw(bytearray(base64.b64decode(sent["data"][0])))
    assert np.array_equal(logits.numpy(), CALL[0].input)
    assert np.array_equal(target.numpy(), CALL[0].target)


def test_lists_read_back_as_an_answer() -> None:
    decode = FORMS["json"].decode
    assert decode is not None
    (answer,) = decode(json.dumps(to_lists((0.5, torch.tensor([[0.25, -0.25]])))).encode())
    assert answer.gradient.tolist() == [[0.25, -0.25]]
