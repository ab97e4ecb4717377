"""Steps are those of `torch.optim`, to the bit, over a hundred of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from schemas.operations.optimizer_step import KINDS, OptimizerStep
from tests.asgi import InProcess
from tests.operations.cases import Array
from tests.operations.wires import WIRES, computed

PATH = OptimizerStep.path
CLASSES: dict[str, Any] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "sgd": [
        {},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True},
        {"lr": 0.05, "momentum": 0.5, "maximize": True, "weight_decay": 0.1, "dampening": -0.5},
    ],
    "adam": [
        {},
        {"lr": 0.1, "betas": [0.8, 0.99], "eps": 1e-6, "weight_decay": 0.1},
        {"amsgrad": True, "maximize": True, "lr": 0.02},
        {"betas": [0.0, 0.0], "eps": 0.1},
    ],
    "adamw": [{}, {"lr": 0.1, "weight_decay": 0.2, "amsgrad": True}, {"maximize": True, "betas": [0.5, 0.6]}],
    "rmsprop": [
        {},
        {"lr": 0.1, "alpha": 0.9, "momentum": 0.9, "centered": True, "weight_decay": 0.01},
        {"centered": True, "maximize": True, "eps": 1e-4},
        {"momentum": 0.3},
    ],
    "adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-5},
        {"maximize": True},
    ],
}
SHAPES = {"layer1.weight": (5, 7), "layer1.bias": (5,), "scale": (), "rare": (3,)}


def gradients_of(rng: np.random.Generator, at: int, dtype: Any) -> dict[str, Array]:
    """Gradients of every size; `rare` has one at every third step only, and none at the first."""
    names = [name for name in SHAPES if name != "rare" or at % 3 == 2]
    return {
        name: np.asarray(rng.normal(scale=10.0 ** rng.integers(-4, 3), size=SHAPES[name])).astype(dtype)
        for name in names
    }


@pytest.mark.parametrize("clip", [None, 0.7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), [(name, one) for name, every in OPTIONS.items() for one in every])
def test_a_hundred_steps_are_torchs_to_the_bit(
    client: InProcess, name: str, options: dict[str, Any], dtype: str, clip: float | None
) -> None:
    rng = np.random.default_rng(11)
    kind = np.dtype(dtype)
    parameters = {key: np.asarray(rng.normal(size=shape)).astype(kind) for key, shape in SHAPES.items()}
    theirs = {key: torch.nn.Parameter(torch.from_numpy(array.copy())) for key, array in parameters.items()}
    optimizer = CLASSES[name](theirs.values(), **({"lr": KINDS[name].options["lr"]} | options))
    state: dict[str, Array] = {}
    wires = (WIRES["JSON lists"], WIRES["safetensors"])
    for at in range(100):
        gradients = gradients_of(rng, at, kind)
        request = {"optimizer": name, "parameters": parameters, "gradients": gradients, "state": state, **options}
        if clip is not None:
            request["clip_norm"] = clip
        # By computation alone for the most part; the wires bring the same bits, and state is sent back as it came.
        if at < 6:
            answer = wires[at % 2].send(client, "optimizer_step", request)
            tensors = answer.tensors
        else:
            tensors = {".".join(path): array for path, array in computed("optimizer_step", request).tensors.items()}
        for key, parameter in theirs.items():
            parameter.grad = torch.from_numpy(gradients[key].copy()) if key in gradients else None
        if clip is not None:
            norm = torch.nn.utils.clip_grad_norm_(theirs.values(), clip)
            assert tensors["total_norm"] == norm.numpy()
        optimizer.step()
        parameters = {key: tensors[f"parameters.{key}"] for key in SHAPES}
        state = {key.removeprefix("state."): array for key, array in tensors.items() if key.startswith("state.")}
        for key, parameter in theirs.items():
            np.testing.assert_array_equal(parameters[key], parameter.detach().numpy(), err_msg=f"{key} at {at}")
    for key, parameter in theirs.items():
        slots = {slot: value for slot, value in optimizer.state[parameter].items() if value is not None}
        assert {slot.removeprefix(f"{key}.") for slot in state if slot.startswith(f"{key}.")} == set(slots)
        for slot, value in slots.items():
            np.testing.assert_array_equal(state[f"{key}.{slot}"], value.numpy(), err_msg=f"{key}.{slot}")


@pytest.mark.parametrize("name", KINDS)
def test_defaults_are_torchs(name: str) -> None:
    theirs = CLASSES[name]([torch.nn.Parameter(torch.zeros(1))]).defaults
    ours = {option: tuple(it) if isinstance(it, list) else it for option, it in KINDS[name].options.items()}
    assert ours == {option: theirs[option] for option in ours}


@pytest.mark.parametrize("name", KINDS)
def test_the_state_of_torch_is_taken(client: InProcess, name: str) -> None:
    theirs = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = CLASSES[name]([theirs], lr=0.1, **({"momentum": 0.9} if name == "sgd" else {}))
    more = {"momentum": 0.9} if name == "sgd" else {}
    for _ in range(2):
        before = theirs.detach().clone().numpy()
        state = {f"w.{slot}": value.numpy().copy() for slot, value in optimizer.state[theirs].items()}
        theirs.grad = torch.tensor([0.5, 0.25])
        optimizer.step()
    gradient = np.array([0.5, 0.25], np.float32)
    request = {
        "optimizer": name,
        "lr": 0.1,
        **more,
        "parameters": {"w": before},
        "gradients": {"w": gradient},
        "state": state,
    }
    for wire in (WIRES["JSON lists"], WIRES["safetensors"]):
        found = wire.send(client, "optimizer_step", request).tensors
        np.testing.assert_array_equal(found["parameters.w"], theirs.detach().numpy())


def test_without_a_gradient_all_stays_as_it_is(client: InProcess) -> None:
    state = {"w.step": 3, "w.exp_avg": [1.0], "w.exp_avg_sq": [2.0]}
    answer = client.answer(None, PATH, optimizer="adam", parameters={"w": [5.0]}, gradients={}, state=state)
    assert answer["parameters"] == {"w": [5.0]}
    assert answer["state"] == state
    plain = client.answer(None, PATH, optimizer="sgd", parameters={"w": [5.0]}, gradients={}, clip_norm=1.0)
    assert (plain["state"], plain["total_norm"]) == ({}, 0.0)


def test_slots_that_options_do_not_need_are_kept(client: InProcess) -> None:
    found = client.answer(
        None, PATH, optimizer="sgd", lr=1.0, parameters={"w": [5.0]}, gradients={"w": [1.0]},
        state={"w.momentum_buffer": [7.0]},
    )  # fmt: skip
    assert (found["parameters"], found["state"]) == ({"w": [4.0]}, {"w.momentum_buffer": [7.0]})


def test_steps_beyond_float32_are_counted(client: InProcess) -> None:
    state = {"w.step": 2**24, "w.sum": [1.0]}
    found = client.answer(None, PATH, optimizer="adagrad", parameters={"w": [1.0]}, gradients={"w": [1.0]}, state=state)
    assert found["state"]["w.step"] == 2**24 + 1


def test_half_types_keep_their_steps(client: InProcess) -> None:
    state = {"w.step": 2049, "w.sum": [1.0]}
    own = {"parameters": {"w": [1.0]}, "gradients": {"w": [1.0]}, "state": state, "dtype": "bfloat16"}
    assert client.answer(None, PATH, optimizer="adagrad", **own)["state"]["w.step"] == 2050


def test_gradients_that_are_not_finite_go_through(client: InProcess) -> None:
    own = {"parameters": {"w": [1.0, 2.0]}, "gradients": {"w": ["NaN", "Infinity"]}}
    found = client.answer(None, PATH, optimizer="sgd", **own, clip_norm=1.0)
    assert found["total_norm"] == "NaN"
    assert found["parameters"] == {"w": ["NaN", "NaN"]}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", KINDS)
def test_the_largest_options_are_computed(client: InProcess, name: str, dtype: str) -> None:
    largest = {"lr": 6e4 if dtype == "float16" else 1e10, "weight_decay": 6e4 if dtype == "float16" else 1e10}
    most = float(np.finfo(dtype).max)
    extreme = {
        "momentum": most, "dampening": -most, "betas": [1 - 2**-53, 1 - 2**-53], "eps": most, "alpha": most,
        "lr_decay": most, "initial_accumulator_value": most,
    }  # fmt: skip
    own = {option: value for option, value in (largest | extreme).items() if option in KINDS[name].options}
    arrays = {"w": [1.0, -1e-3]}
    state: dict[str, Any] = {}
    for _ in range(3):
        found = client.answer(
            None, PATH, optimizer=name, parameters=arrays, gradients=arrays, state=state, dtype=dtype, **own
        )
        state = found["state"]
    assert found["parameters"].keys() == {"w"}


ADAM = {"w.step": 1, "w.exp_avg": [0.0], "w.exp_avg_sq": [0.0]}


@pytest.mark.parametrize(
    ("members", "faults"),
    [
        ({"optimizer": "lion"}, {"/optimizer"}),
        ({"parameters": {}}, {"/parameters"}),
        ({"gradients": {"v": [1.0]}}, {"/gradients/v"}),
        ({"gradients": {"w": [1.0, 2.0]}}, {"/gradients/w"}),
        ({"gradients": {"w": ["x"]}}, {"/gradients/w/0"}),
        ({"gradients": None}, {"/gradients"}),
        ({"momentum": 0.9}, {"/momentum"}),
        ({"alpha": 0.9, "centered": True, "lr_decay": 1.0}, {"/alpha", "/centered", "/lr_decay"}),
        ({"betas": [0.9]}, {"/betas"}),
        ({"betas": [0.9, 1.0]}, {"/betas/1"}),
        ({"lr": -0.1}, {"/lr"}),
        ({"lr": 1e11}, {"/lr"}),
        ({"clip_norm": -1.0}, {"/clip_norm"}),
        ({"eps": 1e39}, {"/eps"}),
        ({"state": {"w.exp_avg": [0.0]}}, {"/state/w.step", "/state/w.exp_avg_sq"}),
        ({"state": ADAM, "amsgrad": True}, {"/state/w.max_exp_avg_sq"}),
        ({"state": {**ADAM, "w.exp_avg": [0.0, 0.0]}}, {"/state/w.exp_avg"}),
        ({"state": {**ADAM, "w.step": -1}}, {"/state/w.step"}),
        ({"state": {**ADAM, "w.step": 2**53 + 2}}, {"/state/w.step"}),
        ({"state": {**ADAM, "w.step": 1.5}}, {"/state/w.step"}),
        ({"state": {**ADAM, "w.step": [1]}}, {"/state/w.step"}),
        ({"state": {**ADAM, "v.exp_avg": [1.0]}}, {"/state/v.exp_avg"}),
        ({"state": {**ADAM, "w.momentum_buffer": [1.0]}}, {"/state/w.momentum_buffer"}),
        ({"state": {"exp_avg": [1.0]}}, {"/state/exp_avg"}),
        ({"optimizer": "sgd", "nesterov": True}, {"/nesterov"}),
        ({"optimizer": "sgd", "nesterov": True, "momentum": 0.9, "dampening": 0.1}, {"/nesterov"}),
        ({"optimizer": "sgd", "nesterov": True, "momentum": -0.9}, {"/momentum"}),
    ],
)
def test_what_makes_no_step_is_refused(client: InProcess, members: dict[str, Any], faults: set[str]) -> None:
    own = {"optimizer": "adam", "parameters": {"w": [1.0]}, "gradients": {"w": [1.0]}}
    assert client.faults(None, PATH, **(own | members)).keys() == faults
