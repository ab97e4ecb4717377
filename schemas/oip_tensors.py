"""A loss's tensors as the Open Inference Protocol names them: inputs, outputs and datatypes."""

from __future__ import annotations

import re
from functools import cache
from typing import Final, get_args, get_origin

import numpy as np
from pydantic import BaseModel

from schemas.dims import Form, forms
from schemas.dtype import DTYPES
from schemas.field import Floats, TensorField
from schemas.request import LossRequest
from schemas.tensor import Tensor

DATATYPES: Final[dict[str, np.dtype]] = {
    "BOOL": DTYPES["bool"],
    "UINT8": DTYPES["uint8"],
    "INT8": DTYPES["int8"],
    "INT16": DTYPES["int16"],
    "INT32": DTYPES["int32"],
    "INT64": DTYPES["int64"],
    "FP16": DTYPES["float16"],
    "BF16": DTYPES["bfloat16"],
    "FP32": DTYPES["float32"],
    "FP64": DTYPES["float64"],
}
"""Our types by the names of the protocol."""
CODES: Final[dict[np.dtype, str]] = {dtype: name for name, dtype in DATATYPES.items()}

GRADIENT: Final = "gradients."
"""What the name of a gradient's output starts with; its tensor's name follows."""
COTANGENT: Final = "cotangent"
COTANGENTS: Final = "cotangents"
UPSTREAM: Final = (COTANGENT, COTANGENTS)
"""Inputs of every loss that are no tensors of its own."""
LISTED: Final = re.compile(r"(\w+)\.(0|[1-9]\d{0,2})\.(\w+)", re.ASCII)
"""A tensor in a list of objects: `tail.0.output`."""
IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
"""What a caller may name a tensor."""


@cache
def listed(cls: type[LossRequest]) -> dict[str, tuple[str, ...]]:
    """The members that are lists of objects of tensors, each with the tensors of an object: `tail`."""
    found: dict[str, tuple[str, ...]] = {}
    for name, info in cls.model_fields.items():
        inner = next(iter(get_args(info.annotation)), None)
        if get_origin(info.annotation) is list and isinstance(inner, type) and issubclass(inner, BaseModel):
            parts = tuple(part for part, field in inner.model_fields.items() if field.annotation is Tensor)
            if parts:
                found[name] = parts
    return found


@cache
def mapped(cls: type[LossRequest]) -> dict[str, tuple[str, ...]]:
    """The members that hold tensors by names of the caller's own, each with the names in the loss's example."""
    return {name: tuple(cls.about.example[name]) for name in cls.model_fields if name in cls.maps}


def _named(cls: type[LossRequest], name: str) -> bool:
    """Whether that is a tensor under a name of the caller's own: `tensors.x`."""
    member, _, own = name.partition(".")
    return member in mapped(cls) and IDENTIFIER.fullmatch(own) is not None


@cache
def fields(cls: type[LossRequest]) -> dict[str, TensorField]:
    """The contract of every tensor by its input's name; of those in a list, only the first object's.

    Of those that callers name themselves, the example's.
    """
    names = [f"{name}.0.{part}" for name, parts in listed(cls).items() for part in parts]
    given = {name: Tensor(np.zeros(0), typed=False) for name in names}
    own = {f"{member}.{name}": Floats("*S") for member, named in mapped(cls).items() for name in named}
    many = " | ".join(" ".join(("K", *form)) for form in forms(cls.unreduced))
    every = {**cls.fields_of(given), **own, COTANGENT: Floats(cls.unreduced), COTANGENTS: Floats(many)}
    return {name: every[name] for name in (*cls.tensor_fields, *names, *own, *UPSTREAM)}


def is_tensor(cls: type[LossRequest], name: str) -> bool:
    """Whether a loss has a tensor of that name."""
    if name in cls.tensor_fields:
        return True
    found = LISTED.fullmatch(name)
    return found is not None and found[3] in listed(cls).get(found[1], ())


def is_input(cls: type[LossRequest], name: str) -> bool:
    """Whether a loss takes an input of that name: a tensor, the cotangent, or the cotangents."""
    return name in UPSTREAM or is_tensor(cls, name) or _named(cls, name)


def is_output(cls: type[LossRequest], name: str) -> bool:
    """Whether a loss answers an output of that name, for some request."""
    if name == "loss" or name in cls.extra_answers:
        return True
    tensor = name.removeprefix(GRADIENT)
    if name == tensor:
        return False
    return is_tensor(cls, tensor) or (bool(mapped(cls)) and IDENTIFIER.fullmatch(tensor) is not None)


def plain(cls: type[LossRequest], name: str) -> str:
    """A tensor's name as gradients have it: `x` for `tensors.x`."""
    return name.partition(".")[2] if _named(cls, name) else name


@cache
def outputs(cls: type[LossRequest]) -> tuple[str, ...]:
    """The outputs that a loss may be asked for; of the gradients of tensors in a list, only the first object's."""
    gradients = [
        f"{GRADIENT}{plain(cls, name)}"
        for name, spec in fields(cls).items()
        if name not in UPSTREAM and spec.differentiable != "never"
    ]
    return ("loss", *gradients, *cls.extra_answers)


@cache
def options(cls: type[LossRequest]) -> tuple[str, ...]:
    """The members of a request that are parameters: the loss's own options, and those that every loss has."""
    common = ("reduction", "gradients", "dtype", "on_empty", "size_average", "reduce")
    return (*(name for name in cls.option_names if name not in {*listed(cls), *mapped(cls)}), *common)


@cache
def lists(cls: type[LossRequest]) -> frozenset[str]:
    """The parameters that are lists."""
    return frozenset(name for name in options(cls) if get_origin(cls.model_fields[name].annotation) is list)


@cache
def objects(cls: type[LossRequest]) -> frozenset[str]:
    """The parameters that are objects."""
    return frozenset(name for name in options(cls) if get_origin(cls.model_fields[name].annotation) is dict)


def shape(dims: str) -> list[int]:
    """The shape of a tensor of these dims, -1 for every size: in its last form, without the dims that may be many.

    A batch of any rank counts as one dim, as it stands where nothing else is.
    """
    form: Form = forms(dims)[-1] if dims else ("S",)
    return [-1 for at, token in enumerate(form) if at == 0 or not token.startswith("*")]
