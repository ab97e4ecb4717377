"""Transfer: packed copies hold what was sent, one each way a batch, and devices go by their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from torch import Tensor

from schemas.dtype import BFLOAT16, DTYPES
from schemas.losses import LOSSES
from schemas.losses.composite import Composite
from service.compute import compute, open_device
from service.compute.transfer import ALIGNMENT, HostDevice, PackedDevice, as_array, as_tensor
from tests.contract.answers import assert_same, parse
from tests.losses.cases import alike

PACKED = settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))


class Counting(PackedDevice):
    """The CPU behind a bus that counts its journeys."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"), pin=False)
        self.up = self.down = 0

    def _to_device(self, host: Tensor) -> Tensor:
        self.up += 1
        return super()._to_device(host)

    def _to_host(self, there: Tensor) -> Tensor:
        self.down += 1
        return super()._to_host(there)


@pytest.mark.parametrize("name", LOSSES)
@PACKED
@given(data=st.data())
def test_a_packed_device_answers_as_the_host_in_one_copy_each_way(name: str, data: DataObject) -> None:
    requests = [parse(request) for request in data.draw(alike(name, 5))]
    by_key: dict[Any, list[Any]] = {}
    for request in requests:
        key = id(request) if request.checked.key is None else request.checked.key
        by_key.setdefault(key, []).append(request)
    for batch in by_key.values():
        device = Counting()
        assert_same(list(compute(batch, device)), list(compute(batch, HostDevice())))
        # The terms of a composite are computed one after another.
        computed = [part.request for part in batch[0].parts] if isinstance(batch[0], Composite) else batch[:1]
        journeys = sum(0 not in request.checked.layout.unreduced for request in computed)
        assert (device.up, device.down) == (journeys, journeys)


@pytest.mark.parametrize("name", DTYPES)
def test_every_type_survives_the_journey(name: str) -> None:
    arrays = [np.arange(12).reshape(3, 4).astype(DTYPES[name]), np.array(1).astype(DTYPES[name])]
    device = Counting()
    tensors = device.upload(arrays)
    assert [tensor.dtype for tensor in tensors] == [getattr(torch, name)] * 2
    back = device.download(tensors)
    assert [(a.dtype, a.shape, a.tobytes()) for a in back] == [(a.dtype, a.shape, a.tobytes()) for a in arrays]


def test_tensors_in_a_packed_buffer_are_aligned() -> None:
    tensors = Counting().upload([np.ones(3, np.int8), np.ones(5), np.ones(1, np.float32)])
    assert [tensor.storage_offset() * tensor.element_size() for tensor in tensors] == [0, ALIGNMENT, 2 * ALIGNMENT]


def test_a_transposed_array_travels_row_by_row() -> None:
    array = np.arange(6.0).reshape(2, 3).T
    for device in (Counting(), HostDevice()):
        (tensor,) = device.upload([array])
        assert tensor.tolist() == array.tolist()


@pytest.mark.parametrize("pin", [True, False])
def test_pinned_memory_is_asked_for_where_it_is_wanted(pin: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    empty = torch.empty

    def recorded(*args: Any, **kwargs: Any) -> Tensor:
        if "pin_memory" in kwargs:
            asked.append(kwargs.pop("pin_memory"))
        return empty(*args, **kwargs)

    monkeypatch.setattr(torch, "empty", recorded)
    device = PackedDevice(torch.device("cpu"), pin=pin)
    (back,) = device.download(device.upload([np.arange(4.0)]))
    assert back.tolist() == [0, 1, 2, 3]
    assert asked == [pin, pin], "once for each way"


def test_read_only_memory_is_taken_without_a_copy() -> None:
    raw = np.arange(4, dtype=np.float32).tobytes()
    array = np.frombuffer(raw, np.float32)
    tensor = as_tensor(array)
    assert tensor.data_ptr() == array.__array_interface__["data"][0]
    assert tensor.tolist() == [0, 1, 2, 3]


def test_bfloat16_keeps_its_bits_both_ways() -> None:
    array = np.array([1.5, -2.0, np.inf, np.nan]).astype(BFLOAT16)
    assert as_array(as_tensor(array)).tobytes() == array.tobytes()


def test_an_expanded_tensor_comes_back_whole() -> None:
    assert as_array(torch.ones(1).expand(2, 3)).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_cpu_is_the_host_itself() -> None:
    device = open_device("cpu")
    assert isinstance(device, HostDevice)
    assert device.name == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "cudax", "mps", ""])
def test_an_unknown_device_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is none of auto, cpu, cuda, cuda:N"):
        open_device(name)


def test_auto_is_the_cpu_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert open_device("auto").name == "cpu"
    with pytest.raises(ValueError, match="no GPU that torch can use"):
        open_device("cuda")


def test_gpus_go_by_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [open_device(name).name for name in ("auto", "cuda", "cuda:1")] == ["cuda:0", "cuda:0", "cuda:1"]
    with pytest.raises(ValueError, match="there are 2 GPUs"):
        open_device("cuda:2")
