"""What holds for every operation."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from schemas.dtype import FLOATING
from schemas.footprint import footprint
from schemas.operation import Operation
from schemas.operations import OPERATIONS
from service.compute.operations import FUNCTIONS
from service.compute.transfer import PackedDevice
from tests.asgi import InProcess, pointers, problem_of
from tests.binary import MEDIA_TYPE, pack
from tests.http import test_metrics
from tests.operations.cases import CASES, each_array, of_type, requests
from tests.operations.wires import WIRES, Wire, bits, computed, parsed, told

SLACK = 3 << 20
"""Bytes that the allocator and the interpreter may take besides."""

each_operation = pytest.mark.parametrize("cls", OPERATIONS.values(), ids=list(OPERATIONS))


@pytest.fixture
def fresh() -> Iterator[InProcess]:
    """An application that has counted nothing yet."""
    with InProcess() as made:
        yield made


def test_every_operation_has_a_function_and_every_function_an_operation() -> None:
    assert {cls for cls in FUNCTIONS if "path" in vars(cls)} == set(OPERATIONS.values())


def test_every_operation_has_its_cases_but_those_around_another_request() -> None:
    assert set(CASES) == {name for name, cls in OPERATIONS.items() if not cls.nested}


def test_paths_are_their_own() -> None:
    assert len({cls.path for cls in OPERATIONS.values()}) == len(OPERATIONS)
    assert all(cls.path.startswith("/v1/") for cls in OPERATIONS.values())


@each_operation
def test_its_example_is_answered_as_its_answer_model_says(client: InProcess, cls: type[Operation]) -> None:
    answer = client.answer(None, cls.path, **cls.example)
    required = {name for name, field in cls.answer.model_fields.items() if field.is_required()}
    assert required <= answer.keys() <= cls.answer.model_fields.keys()
    cls.answer.model_validate(answer)
    assert answer["warnings"] == []


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("wire", WIRES.values(), ids=list(WIRES))
@pytest.mark.parametrize("name", CASES)
def test_every_wire_brings_the_same_to_the_bit(client: InProcess, wire: Wire, name: str, dtype: str) -> None:
    for request in requests(name, dtype):
        if wire.lists and any(0 in array.shape[:-1] for array in _arrays(request)):
            continue  # lists end where a size is 0
        expected = told(computed(name, request))
        assert bits(wire.send(client, name, request), lists=wire.lists) == bits(expected, lists=wire.lists), request


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _arrays(inner)
    elif isinstance(value, np.ndarray):
        yield value


@pytest.mark.parametrize("name", CASES)
def test_a_packed_device_answers_the_same(name: str) -> None:
    device = PackedDevice(torch.device("cpu"), pin=False)
    for request in requests(name, "float32"):
        assert bits(told(computed(name, request, device))) == bits(told(computed(name, request)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_half_types_are_float32_rounded_once(name: str, dtype: str) -> None:
    for request in requests(name, dtype):
        wide = each_array(request, lambda array: of_type(array, "float32"))
        found = computed(name, {**request, "dtype": dtype})
        expected = computed(name, {**wide, "dtype": "float32"})
        for path, array in found.tensors.items():
            with np.errstate(over="ignore", invalid="ignore"):
                rounded = of_type(expected.tensors[path], dtype)
            assert array.tobytes() == rounded.tobytes(), (path, request)


@pytest.mark.parametrize("name", CASES)
def test_requests_are_left_as_they_came(name: str) -> None:
    for request in requests(name, "float32"):
        frozen = each_array(request, lambda array: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape))
        copies = [array.copy() for array in _arrays(frozen)]
        computed(name, frozen)
        for array, copy in zip(_arrays(frozen), copies, strict=True):
            np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("name", CASES)
def test_an_answer_has_no_more_numbers_than_was_said_before(name: str, dtype: str) -> None:
    for members in requests(name, dtype):
        said = footprint(parsed(name, members)).answer
        answered = sum(array.nbytes for array in computed(name, members).tensors.values())
        assert answered <= said, members


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are the Linux kernel's")
def test_computing_takes_no_more_memory_than_the_arithmetic_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.operations.footprints", "400000"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {name for name, *_ in lines} == set(CASES)
    assert [(name, peak, bound) for name, peak, bound in lines if int(peak) > int(bound) + SLACK] == []


@each_operation
def test_what_is_wrong_is_told_with_its_place(client: InProcess, cls: type[Operation]) -> None:
    faults = client.faults(None, cls.path, **cls.example, no_such_member=1, encoding="hex", dtype="float8")
    assert faults.keys() == {"/no_such_member", "/encoding", "/dtype"}
    required = {f"/{name}" for name, field in cls.model_fields.items() if field.is_required()}
    if required:
        assert required <= client.faults(None, cls.path).keys()
    assert problem_of(client.post(b"[]", cls.path), 400)["detail"]


@pytest.mark.parametrize("name", CASES)
def test_limits_hold(small: InProcess, name: str) -> None:
    cls = OPERATIONS[name]
    wide = [0] * 101 if cls.family == "sampling" else [0.01] * 101
    members = {**cls.example}
    first = next(name for name in cls.model_fields if name in members and name not in ("optimizer", "lr"))
    members[first] = {"w": wide} if first in cls.maps else wide
    body = json.dumps(members).encode()
    assert "elements" in problem_of(small.post(body, cls.path), 413)["detail"]


@each_operation
def test_other_methods_are_refused(client: InProcess, cls: type[Operation]) -> None:
    response = client.get(cls.path)
    problem_of(response, 405)
    assert response.headers["allow"] == "POST"


def test_a_deadline_holds(fresh: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    cls, over = OPERATIONS["softmax"], threading.Event()
    monkeypatch.setitem(FUNCTIONS, cls, lambda *_: over.wait(20))
    body = pack({"input": np.zeros(100_000, np.float32)})  # more than is computed on the event loop
    problem_of(fresh.post(body, cls.path, content_type=MEDIA_TYPE, x_request_timeout_ms="50"), 504)
    over.set()


def test_an_operation_that_fails_harms_no_other(fresh: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = OPERATIONS["softmax"]

    def failing(*_: object) -> None:
        raise RuntimeError("not told")

    with monkeypatch.context() as patch:
        patch.setitem(FUNCTIONS, cls, failing)
        problem = problem_of(fresh.post(json.dumps(cls.example).encode(), cls.path), 500)
        assert "not told" not in json.dumps(problem)
        assert fresh.answer("mse_loss", input=[3.0], target=[1.0])["loss"] == 4.0
    assert fresh.answer(None, cls.path, **cls.example)["output"]


@each_operation
def test_metrics_and_stats_count_it(fresh: InProcess, cls: type[Operation]) -> None:
    for _ in range(2):
        fresh.answer(None, cls.path, **cls.example)
    fresh.refusal(422, None, cls.path, **{**cls.example, "nothing": 1})
    found = test_metrics.scraped(fresh)
    assert test_metrics.requests(found, cls.path, "POST", 200, cls.name) == 2
    assert test_metrics.requests(found, cls.path, "POST", 422, cls.name) == 1
    assert test_metrics.value(found, "gradwire_losses_total", loss=cls.name, outcome="answered") == 2
    assert test_metrics.value(found, "gradwire_losses_total", loss=cls.name, outcome="failed") == 1
    assert cls.name in json.dumps(fresh.get("/v1/stats").json())


@each_operation
def test_openapi_has_it_whole(client: InProcess, cls: type[Operation]) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"][cls.path]["post"]
    assert operation["operationId"] == cls.name
    assert operation["tags"] == [cls.family]
    assert operation["summary"].endswith(".")
    body = operation["requestBody"]["content"]
    assert list(body) == ["application/json", MEDIA_TYPE]
    assert body["application/json"]["example"] == cls.example
    assert set(operation["responses"]) >= {"200", "400", "413", "415", "422", "429", "503", "504"}
    schemas = document["components"]["schemas"]
    for model in (cls, cls.answer):
        for name, entry in schemas[model.__name__]["properties"].items():
            assert entry.get("description"), f"{model.__name__}.{name}"
            assert entry.get("default", ...) is not None, f"{model.__name__}.{name}: null is no option"
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert tags[cls.family]


def test_names_of_tensors_are_the_callers(client: InProcess) -> None:
    path = OPERATIONS["optimizer_step"].path
    odd = {"layer.0/weight~a": [1.0], "layer": [2.0]}
    bad = {"layer.0/weight~a": [1.0, 2.0], "layer": [1.0]}
    faults = client.faults(None, path, optimizer="sgd", parameters=odd, gradients=bad)
    assert faults == {"/gradients/layer.0~1weight~0a": "shape [2] is not the parameter's, which is [1]"}
    found = client.answer(None, path, optimizer="sgd", lr=1.0, parameters=odd, gradients=odd)
    assert found["parameters"] == {"layer.0/weight~a": [0.0], "layer": [0.0]}


@pytest.mark.parametrize("name", ["", "n" * 257])
def test_names_have_a_length(client: InProcess, name: str) -> None:
    path = OPERATIONS["optimizer_step"].path
    one = {name: [1.0]}
    faults = client.faults(None, path, optimizer="sgd", parameters=one, gradients=one)
    assert set(faults.values()) == {"a name has 1 to 256 characters"}


def test_the_number_of_tensors_is_bounded_in_every_form(client: InProcess) -> None:
    cls = OPERATIONS["optimizer_step"]
    many = {f"w{at}": np.zeros((), np.float32) for at in range(cls.max_tensors + 1)}
    body = json.dumps({"optimizer": "sgd", "parameters": dict.fromkeys(many, 0.0), "gradients": {}}).encode()
    assert pointers(problem_of(client.post(body, cls.path), 422)) == {"": "4097 tensors; at most 4096 are taken"}
    binary = pack({f"parameters.{name}": array for name, array in many.items()}, optimizer="sgd", gradients={})
    response = client.post(binary, cls.path, content_type=MEDIA_TYPE)
    assert pointers(problem_of(response, 422)) == {"": "4097 tensors; at most 4096 are taken"}


def test_a_tensor_twice_is_refused(client: InProcess) -> None:
    cls = OPERATIONS["optimizer_step"]
    body = pack({"parameters.w": np.zeros(1, np.float32)}, optimizer="sgd", gradients={}, parameters={"w": [0.0]})
    faults = pointers(problem_of(client.post(body, cls.path, content_type=MEDIA_TYPE), 422))
    assert faults == {"/parameters/w": "given twice: as a tensor, and among the other members"}
