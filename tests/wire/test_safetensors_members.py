"""The members of a safetensors request: tensors by name, all others in the text `request`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from schemas.catalogue import example
from schemas.losses import LOSSES
from schemas.problem import InvalidRequest
from service.compute import compute, open_device
from service.wire import safetensors
from service.wire.members import MAX_LISTED
from tests.binary import Array, forge, pack

ONES = np.ones(2, np.float32)
PAIR = {"input": ONES, "target": ONES}
CPU = open_device("cpu")
ADAPTIVE = LOSSES["adaptive_log_softmax_with_loss"]
TENSORS = ("input", "head_weight")


def refusal(body: bytes, loss: str | None = None) -> dict[str, str]:
    """The faults of a body by pointer."""
    with pytest.raises(InvalidRequest) as caught:
        safetensors.decode(body, LOSSES[loss] if loss else None, max_elements=1 << 20)
    return {fault.pointer: fault.detail for fault in caught.value.faults}


def adaptive(**tail: Array) -> bytes:
    """A request of the adaptive softmax; tensors of its tail as `tail_0_output`."""
    members = example(ADAPTIVE)
    tensors = {name: np.array(members.pop(name), np.float32) for name in TENSORS}
    tensors["target"] = np.array(members.pop("target"))
    members.pop("tail")
    return pack({**tensors, **{name.replace("_", "."): array for name, array in tail.items()}}, **members)


def cluster() -> dict[str, Array]:
    """The two matrices of the example's tail."""
    return {name: np.array(value, np.float32) for name, value in example(ADAPTIVE)["tail"][0].items()}


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_without_a_request_text_there_are_only_tensors(metadata: dict[str, str] | None) -> None:
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    header["input"] = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header["target"] = {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}
    body = forge(header, np.array([3, 1], np.float32).tobytes())
    assert safetensors.decode(body, LOSSES["mse_loss"], max_elements=100).name == "mse_loss"
    assert refusal(body) == {"/loss": "required: the loss's name"}


def test_a_body_without_anything_lacks_the_loss() -> None:
    assert refusal(forge({})) == {"/loss": "required: the loss's name"}


@pytest.mark.parametrize("text", ["", "{", "nope", "{'a': 1}", '{"loss": NaN}', r'{"loss": "\ud800"}'])
def test_a_request_text_that_is_no_json_is_malformed(text: str) -> None:
    assert "request in __metadata__ is no JSON" in refusal(forge({"__metadata__": {"request": text}}))[""]


@pytest.mark.parametrize("value", [[], 1, "mse_loss", None, True])
def test_a_request_text_that_is_no_object_is_malformed(value: Any) -> None:
    text = json.dumps(value)
    assert refusal(forge({"__metadata__": {"request": text}}))[""].endswith("is no JSON object")


def test_a_deep_request_text_is_refused() -> None:
    for depth in (33, 500, 1020, 100_000):
        text = '{"loss": "mse_loss", "input": ' + "[" * depth + "]" * depth + "}"
        assert refusal(forge({"__metadata__": {"request": text}}))


def test_a_member_given_both_ways_is_refused_where_it_stands() -> None:
    faults = refusal(pack(PAIR, loss="mse_loss", input=[1.0, 1.0]))
    assert faults == {"/input": "given twice: as a tensor, and among the other members"}


def test_tensors_may_also_stand_in_the_request_text() -> None:
    request = safetensors.decode(pack({"input": ONES}, loss="mse_loss", target=[3.0, 1.0]), None, max_elements=100)
    assert request.checked.tensors["target"].tolist() == [3.0, 1.0]


def test_a_tensor_is_no_name_of_a_loss() -> None:
    assert refusal(pack({**PAIR, "loss": ONES})) == {"/loss": "a text is needed here: the loss's name"}
    assert "/loss" in refusal(pack({**PAIR, "loss": ONES}, loss="mse_loss"))
    assert "/loss" in refusal(pack({**PAIR, "loss": ONES}), "mse_loss")


@pytest.mark.parametrize("member", ["reduction", "gradients", "dtype", "encoding", "ignore_index"])
def test_a_tensor_is_no_option(member: str) -> None:
    request = {"input": np.ones((2, 3), np.float32), "target": np.array([0, 1])}
    assert list(refusal(pack({**request, member: np.array(1)}, loss="cross_entropy"))) == [f"/{member}"]


@pytest.mark.parametrize("name", ["", "inputs", "/", "~", "é"])
def test_an_unknown_tensor_is_told_by_its_name(name: str) -> None:
    where = "/" + name.replace("~", "~0").replace("/", "~1")
    assert "unknown member" in refusal(pack({**PAIR, name: ONES}, loss="mse_loss"))[where]


NOWHERE = ["a.b", "tail.0", "tail.x.output", "tail.-1.output", "tail.1000.output", "tail.².output", "a.0.b.c", "..."]


@pytest.mark.parametrize("name", [*NOWHERE, "tail..output"])
def test_a_dotted_name_that_leads_nowhere_is_an_unknown_member(name: str) -> None:
    assert refusal(pack({**PAIR, name: ONES}, loss="mse_loss"))[f"/{name}"] == "unknown member"


def test_dotted_names_lie_in_the_tail() -> None:
    parts = cluster()
    body = adaptive(tail_0_projection=parts["projection"], tail_0_output=parts["output"])
    request = safetensors.decode(body, None, max_elements=1000)
    answered = compute([request], CPU)[0]
    expected = compute([ADAPTIVE.model_validate({**example(ADAPTIVE), "dtype": "float32"})], CPU)[0]
    assert answered.loss.tobytes() == expected.loss.tobytes()


def test_a_cluster_may_be_given_half_as_tensor_and_half_in_the_text() -> None:
    parts = example(ADAPTIVE)["tail"][0]
    members = {**example(ADAPTIVE), "tail": [{"projection": parts["projection"]}]}
    body = pack({"tail.0.output": np.array(parts["output"], np.float32)}, **members)
    assert safetensors.decode(body, None, max_elements=1000).checked.tensors["tail.0.output"].shape == (2, 2)


def test_half_a_cluster_lacks_the_other_half() -> None:
    assert "missing" in refusal(adaptive(tail_0_output=cluster()["output"]))["/tail/0/projection"]


def test_a_hole_in_the_tail_lacks_its_tensors() -> None:
    parts = cluster()
    faults = refusal(adaptive(tail_1_projection=parts["projection"], tail_1_output=parts["output"]))
    assert {"/tail/0/projection", "/tail/0/output"} <= set(faults)


@pytest.mark.parametrize("at", [MAX_LISTED, 100, 999])
def test_an_index_beyond_every_list_is_no_entry(at: int) -> None:
    faults = refusal(adaptive(**{f"tail_{at}_output": cluster()["output"]}))
    assert faults[f"/tail/{at}"] == "no such entry"


def test_an_entry_given_twice_is_refused() -> None:
    parts = cluster()
    members = {**example(ADAPTIVE)}
    faults = refusal(pack({"tail.0.output": parts["output"]}, **members))
    assert list(faults) == ["/tail/0/output"]
    assert "given twice" in faults["/tail/0/output"]
    both = adaptive(**{f"tail_{at}_{name}": value for at in ("0", "00") for name, value in parts.items()})
    assert list(refusal(both)) == ["/tail/0/projection", "/tail/0/output"]


@pytest.mark.parametrize("tail", [1, "x", {}, None, [1], ["x"]])
def test_a_tail_that_is_no_list_of_objects_takes_no_tensor(tail: Any) -> None:
    body = pack({"tail.0.output": cluster()["output"]}, **{**example(ADAPTIVE), "tail": tail})
    assert any(where.startswith("/tail") for where in refusal(body))


def test_gradients_in_the_tail_come_back_under_the_same_names() -> None:
    parts = cluster()
    body = adaptive(tail_0_projection=parts["projection"], tail_0_output=parts["output"])
    file = safetensors.read(body, 64)
    members = {**safetensors.request_of(file), "gradients": ["tail.0.output"]}
    arrays = {name: tensor.array for name, tensor in file.tensors.items()}
    request = safetensors.decode(pack(arrays, **members), None, max_elements=1000)
    found = safetensors.answer_tensors(compute([request], CPU)[0])
    assert found["gradients.tail.0.output"].shape == parts["output"].shape
