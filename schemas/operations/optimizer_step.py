"""Optimizers: a step from parameters and their gradients to new parameters."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from schemas.check import Checked
from schemas.dims import numel, show
from schemas.field import Floats, Integers, TensorField
from schemas.operation import Operation, OperationAnswer
from schemas.problem import Fault, pointer
from schemas.tensor import Reading, Tensor
from schemas.tensor_request import ABSENT

Name = Literal["sgd", "adam", "adamw", "rmsprop", "adagrad"]
Beta = Annotated[float, Field(ge=0, lt=1)]

STEP: Final = "step"
"""The slot that counts a parameter's steps; all others have the parameter's shape."""

MAX_STEP: Final = 2**53
MAX_RATE: Final = 1e10
"""A rate over Adam's smallest bias correction is still a float32."""


class Kind(NamedTuple):
    """An optimizer: its options with their defaults, those of `torch.optim`, and the slots that its state may have."""

    options: dict[str, Any]
    slots: tuple[str, ...]


_ADAM: Final = {"betas": [0.9, 0.999], "eps": 1e-8, "amsgrad": False}
_MOMENTS: Final = (STEP, "exp_avg", "exp_avg_sq", "max_exp_avg_sq")

KINDS: Final[dict[str, Kind]] = {
    "sgd": Kind(
        {"lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}, ("momentum_buffer",)
    ),
    "adam": Kind({"lr": 1e-3, **_ADAM, "weight_decay": 0.0}, _MOMENTS),
    "adamw": Kind({"lr": 1e-3, **_ADAM, "weight_decay": 0.01}, _MOMENTS),
    "rmsprop": Kind(
        {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
        (STEP, "square_avg", "momentum_buffer", "grad_avg"),
    ),
    "adagrad": Kind(
        {"lr": 0.01, "lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
        (STEP, "sum"),
    ),
}


def _defaults(option: str) -> str:
    """Which optimizers have an option, and its default in each: for its description."""
    have = [name for name, kind in KINDS.items() if option in kind.options]
    told = {str(KINDS[name].options[option]).lower() for name in have}
    if len(told) == 1:
        return f"Of {', '.join(have)}; default {told.pop()}."
    return f"Default {', '.join(f'{KINDS[name].options[option]} of {name}' for name in have)}."


class OptimizerStepAnswer(OperationAnswer):
    """What the caller goes on with."""

    parameters: dict[str, Tensor] = Field(description="All parameters, as they are after the step.")
    state: dict[str, Tensor] = Field(
        description="To be sent with the next step, as it is. Slots have the names of `torch.optim`; `step` is a whole "
        "number, all others have their parameter's shape."
    )
    total_norm: Tensor = Field(
        ABSENT, description="With `clip_norm`: the norm of all gradients before they were clipped."
    )


class OptimizerStep(Operation):
    """One step of an optimizer."""

    name: ClassVar[str] = "optimizer_step"
    path: ClassVar[str] = "/v1/optimizer/step"
    family: ClassVar[str] = "optimizers"
    description: ClassVar[str] = (
        "`torch.optim`'s SGD, Adam, AdamW, RMSprop and Adagrad, to the bit. Nothing is kept between calls: parameters, "
        "gradients and state come in, new parameters and state go out. Send the answer's `state` with the next step; "
        "leave it out at the first.\n\n"
        "- Options left out have the defaults of `torch.optim`; one that the optimizer does not have is refused.\n"
        "- A parameter without a gradient is answered as it is, and its state too.\n"
        "- State is named `<parameter>.<slot>`: all slots that the optimizer needs for a parameter, or none. Slots "
        "that it has, but does not need with these options, are answered as they are.\n"
        "- `float16` and `bfloat16` are computed in float32 and rounded in the answer: state in float32 (`dtype`) "
        "loses less."
    )
    example: ClassVar[dict[str, Any]] = {
        "optimizer": "adam",
        "lr": 0.1,
        "parameters": {"layer1.weight": [[1.0, -2.0], [0.5, 0.0]], "layer1.bias": [0.0, 0.1]},
        "gradients": {"layer1.weight": [[0.1, -0.2], [0.3, 0.0]], "layer1.bias": [0.5, -0.5]},
        "state": {
            "layer1.bias.step": 1,
            "layer1.bias.exp_avg": [0.05, 0.0],
            "layer1.bias.exp_avg_sq": [0.00025, 0.0],
        },
    }
    answer: ClassVar[type[BaseModel]] = OptimizerStepAnswer
    maps: ClassVar[frozenset[str]] = frozenset(("parameters", "gradients", "state"))
    max_tensors: ClassVar[int] = 4096
    workspace: ClassVar[int] = 3
    unreduced: ClassVar[str] = "()"

    optimizer: Name = Field(description="Which optimizer.")
    parameters: dict[str, Tensor] = Field(min_length=1, description="By name, of any shapes. Names may hold dots.")
    gradients: dict[str, Tensor] = Field(description="By the parameter's name, each of its parameter's shape.")
    state: dict[str, Tensor] = Field(default_factory=dict, description="The last answer's, as it is.")
    clip_norm: float = Field(
        ABSENT,
        ge=0,
        description="First, all gradients are scaled down so that the 2-norm of all of them together is at most this, "
        "as `torch.nn.utils.clip_grad_norm_` does. The answer has `total_norm`.",
    )
    lr: float = Field(ABSENT, ge=0, le=MAX_RATE, description=f"The learning rate. {_defaults('lr')}")
    weight_decay: float = Field(
        ABSENT,
        ge=0,
        le=MAX_RATE,
        description=f"Added to the gradient, times the parameter; `adamw` shrinks the parameter itself. "
        f"{_defaults('weight_decay')}",
    )
    maximize: bool = Field(False, description="Whether steps go up the gradient.")
    momentum: float = Field(ABSENT, ge=0, description=f"The momentum's factor. {_defaults('momentum')}")
    dampening: float = Field(
        ABSENT, description=f"Momentum takes 1 - dampening of a gradient. {_defaults('dampening')}"
    )
    nesterov: bool = Field(
        ABSENT, description=f"Nesterov's momentum: needs momentum, and no dampening. {_defaults('nesterov')}"
    )
    betas: list[Beta] = Field(
        ABSENT, min_length=2, max_length=2, description=f"Decay of the two running averages. {_defaults('betas')}"
    )
    eps: float = Field(ABSENT, ge=0, description=f"Added to the denominator. {_defaults('eps')}")
    amsgrad: bool = Field(
        ABSENT, description=f"Whether to divide by the greatest second moment so far. {_defaults('amsgrad')}"
    )
    alpha: float = Field(ABSENT, ge=0, description=f"Decay of the average of squares. {_defaults('alpha')}")
    centered: bool = Field(
        ABSENT, description=f"Whether to divide by the estimated standard deviation. {_defaults('centered')}"
    )
    lr_decay: float = Field(ABSENT, ge=0, description=f"The learning rate's decay. {_defaults('lr_decay')}")
    initial_accumulator_value: float = Field(
        ABSENT, ge=0, description=f"What sums of squares begin with. {_defaults('initial_accumulator_value')}"
    )

    def settings(self) -> dict[str, Any]:
        """The optimizer's options: those given, and defaults for all others."""
        own = self.__dict__
        return {
            name: default if own[name] is None else own[name] for name, default in KINDS[self.optimizer].options.items()
        }

    def slots(self) -> tuple[str, ...]:
        """The slots that a parameter's state needs with these options, once there is one."""
        use = self.settings()
        unused = {
            "max_exp_avg_sq": not use.get("amsgrad"),
            "momentum_buffer": not use.get("momentum"),
            "grad_avg": not use.get("centered"),
        }
        return tuple([slot for slot in KINDS[self.optimizer].slots if not unused.get(slot)])

    def arrays(self) -> dict[str, Tensor]:
        """All tensors; a `step` that came as a floating-point number, as in torch's own state, becomes a whole one."""
        found = super().arrays()
        for name, tensor in found.items():
            if _is_step(name) and tensor.array.dtype.kind == "f" and tensor.array.ndim == 0:
                value = float(tensor.array)
                if value.is_integer() and abs(value) <= MAX_STEP:
                    tensor.array, tensor.source = np.array(int(value)), None
        return found

    @classmethod
    def fields_of(cls, given: dict[str, Tensor]) -> dict[str, TensorField]:
        """Steps are whole numbers, all others are floating-point tensors."""
        return {name: Integers("()") if _is_step(name) else Floats("*D") for name in given}

    def examine(self, reading: Reading, broken: set[str], faults: list[Fault]) -> Checked:
        """Its options are the optimizer's, and go together."""
        checked = super().examine(reading, broken, faults)
        if "optimizer" in broken:
            return checked
        known = {*KINDS[self.optimizer].options, "optimizer", "maximize", "clip_norm", *self.maps}
        faults += [
            Fault(pointer(name), f"{self.optimizer} has no such option")
            for name in self.option_names
            if name not in known and name not in broken and self.__dict__[name] is not None
        ]
        use = self.settings()
        if broken & {"momentum", "dampening"}:
            return checked
        if use.get("nesterov") and not (use["momentum"] > 0 and use["dampening"] == 0):
            faults.append(Fault("/nesterov", "needs a momentum above 0, and a dampening of 0"))
        return checked

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Gradients and state belong to parameters, and have their shapes; no state is half there."""
        shapes = {name: tensor.array.shape for name, tensor in self.parameters.items()}
        for name, tensor in self.gradients.items():
            self._check_shape(("gradients", name), name, tensor, shapes, faults)
        found: dict[str, set[str]] = {}
        known = KINDS[self.optimizer].slots
        for entry, tensor in self.state.items():
            name, _, slot = entry.rpartition(".")
            if slot not in known:
                detail = f"{self.optimizer} has no such slot; state is named <parameter>.<{'|'.join(known)}>"
                faults.append(Fault(pointer("state", entry), detail))
            elif name not in shapes:
                faults.append(Fault(pointer("state", entry), f"there is no parameter {name!r}"))
            else:
                found.setdefault(name, set()).add(slot)
                if slot == STEP:
                    self._check_step(entry, tensor, faults)
                else:
                    self._check_shape(("state", entry), name, tensor, shapes, faults)
        for name, slots in found.items():
            for slot in self.slots():
                if slot not in slots:
                    detail = f"missing: the state of {name!r} has only {', '.join(sorted(slots))}"
                    faults.append(Fault(pointer("state", f"{name}.{slot}"), detail))

    @staticmethod
    def _check_shape(
        path: tuple[str, str], name: str, tensor: Tensor, shapes: dict[str, tuple[int, ...]], faults: list[Fault]
    ) -> None:
        wanted = shapes.get(name)
        if wanted is None:
            faults.append(Fault(pointer(*path), f"there is no parameter {name!r}"))
        elif tensor.array.shape != wanted:
            detail = f"shape {show(tensor.array.shape)} is not the parameter's, which is {show(wanted)}"
            faults.append(Fault(pointer(*path), detail))

    @staticmethod
    def _check_step(entry: str, tensor: Tensor, faults: list[Fault]) -> None:
        if tensor.array.ndim:
            faults.append(Fault(pointer("state", entry), "one whole number is needed here"))
        elif not 0 <= int(tensor.array) <= MAX_STEP:
            faults.append(Fault(pointer("state", entry), f"{int(tensor.array)} is outside [0, {MAX_STEP}]"))

    def numbers(self) -> int:
        """The parameters, and the state that they have afterwards."""
        kept = sum([numel(tensor.array.shape) for tensor in (*self.parameters.values(), *self.state.values())])
        made = [numel(self.parameters[name].array.shape) * len(self.slots()) for name in self.gradients]
        return kept + sum(made) + self.whole(len(self.state) + len(made), self.checked.dtype)


def _is_step(name: str) -> bool:
    return name.startswith("state.") and name.endswith(f".{STEP}")
