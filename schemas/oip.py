"""The Open Inference Protocol's objects (KServe v2, and Triton's extensions to it); every loss is a model."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from schemas.oip_tensors import COTANGENT, GRADIENT, UPSTREAM, fields, options, outputs, plain, shape
from schemas.request import ABSENT, LossRequest
from schemas.tensor import Tensor

PLATFORM = "gradwire"
DATATYPE = (
    "BOOL, UINT8, INT8, INT16, INT32, INT64, FP16, BF16, FP32 or FP64. Floating tensors are brought to the widest "
    "floating type among them, or to the parameter `dtype`."
)


class InferenceInput(BaseModel):
    """A tensor of a loss."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        description="Its name: `input`, `target`, `cotangent`, `tail.0.output`, `tensors.x`.", examples=["input"]
    )
    shape: list[Annotated[int, Field(ge=0)]] = Field(
        description="Its sizes; empty for a 0-d tensor.", examples=[[2, 3]]
    )
    datatype: str = Field(description=DATATYPE, examples=["FP32"])
    parameters: dict[str, Any] = Field(
        ABSENT, description="`binary_data_size`: the bytes of its data behind the JSON, in place of `data`."
    )
    data: Tensor = Field(
        ABSENT,
        description="Its numbers, row-major: one flat list, or nested in its shape; NaN and infinities as strings.",
    )


class InferenceOutput(BaseModel):
    """An output that is asked for."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        description="`loss`, `gradients.` with a tensor's name, or what the loss answers beside them.",
        examples=["gradients.input"],
    )
    parameters: dict[str, Any] = Field(
        ABSENT, description="`binary_data`: whether it is answered as binary data behind the JSON."
    )


class InferenceRequest(BaseModel):
    """A loss's tensors and options."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(ABSENT, description="Answered as it is.")
    parameters: dict[str, Any] = Field(
        ABSENT,
        description="The loss's options and `reduction`, `dtype`, `on_empty`, `gradients`; lists and objects outright "
        "or as JSON text. `binary_data_output`: whether outputs are answered as binary data. `timeout`: microseconds. "
        "`priority` and `sequence_*` have no meaning here.",
    )
    inputs: list[InferenceInput] = Field(description="The tensors, each named as in a request for the loss.")
    outputs: list[InferenceOutput] = Field(
        ABSENT,
        description="What is wanted. Left out: the loss, the gradients in its predictions, and what it answers beside "
        "them. Without any gradient there is no backward pass.",
    )


class InferenceTensor(BaseModel):
    """An output."""

    name: str = Field(description="The output's name.", examples=["loss"])
    datatype: str = Field(description="Its type.", examples=["FP32"])
    shape: list[int] = Field(description="Its sizes; empty for a 0-d tensor.")
    parameters: dict[str, Any] = Field(ABSENT, description="`binary_data_size`, where it is behind the JSON.")
    data: Tensor = Field(ABSENT, description="Its numbers, flat, where they are not behind the JSON.")


class InferenceResponse(BaseModel):
    """A loss and its gradients."""

    model_name: str = Field(description="The loss.", examples=["cross_entropy"])
    model_version: str = Field(description="Always 1.", examples=["1"])
    id: str = Field(ABSENT, description="The request's id, if it had one.")
    parameters: dict[str, Any] = Field(
        description="`reduction`, `divisor` (left out where mean is no such quotient), `count`, `ignored`, `dtype`, "
        "and `warnings` as JSON text; of a composite, `terms` likewise."
    )
    outputs: list[InferenceTensor] = Field(description="The outputs, in the order in which they were asked for.")


class ServerMetadata(BaseModel):
    """The server."""

    name: str = Field(description="Its name.", examples=["gradwire"])
    version: str = Field(description="Its version.")
    extensions: list[str] = Field(description="What it serves beyond the protocol's core.")


class ServerLive(BaseModel):
    """Whether the process serves."""

    live: bool = Field(description="true.")


class ServerReady(BaseModel):
    """Whether losses can be computed."""

    ready: bool = Field(description="true.")


class ModelReady(BaseModel):
    """Whether a loss can be computed."""

    name: str = Field(description="The loss.")
    ready: bool = Field(description="true.")


class ModelTensor(BaseModel):
    """An input or an output of a loss."""

    name: str = Field(description="Its name.", examples=["input"])
    datatype: str = Field(description="The usual type; all others are taken too.", examples=["FP32"])
    shape: list[int] = Field(
        description="-1 for each size, in the usual form of the loss; `parameters` tells all forms.",
        examples=[[-1, -1]],
    )
    parameters: dict[str, Any] = Field(
        ABSENT, description="Of an input, `dims`: the shape in every form; `optional`: whether it may be left out."
    )


class ModelMetadata(BaseModel):
    """A loss, as a model."""

    name: str = Field(description="The loss.", examples=["cross_entropy"])
    versions: list[str] = Field(description="Always 1.", examples=[["1"]])
    platform: str = Field(description="What computes it.")
    inputs: list[ModelTensor] = Field(description="Its tensors.")
    outputs: list[ModelTensor] = Field(description="What it can be asked for.")


class ConfigTensor(BaseModel):
    """An input or an output, in Triton's configuration of a model."""

    name: str = Field(description="Its name.")
    data_type: str = Field(description="The usual type.", examples=["TYPE_FP32"])
    dims: list[int] = Field(description="-1 for each size.")
    optional: bool = Field(ABSENT, description="Whether an input may be left out.")


class ModelConfig(BaseModel):
    """A loss, in Triton's configuration of a model."""

    name: str = Field(description="The loss.")
    platform: str = Field(description="What computes it.")
    backend: str = Field(description="What computes it.")
    version_policy: dict[str, Any] = Field(description="Which versions are served.")
    max_batch_size: int = Field(description="0: no dim is added to the tensors.")
    input: list[ConfigTensor] = Field(description="Its tensors.")
    output: list[ConfigTensor] = Field(description="What it can be asked for.")
    parameters: dict[str, Any] = Field(description="The options that have a default: its JSON as `string_value`.")


class ModelIndex(BaseModel):
    """A loss in the index."""

    name: str = Field(description="The loss.")
    version: str = Field(description="Always 1.")
    state: str = Field(description="READY.")
    reason: str = Field(description="Empty.")


@cache
def metadata(cls: type[LossRequest]) -> ModelMetadata:
    """A loss as a model."""
    return ModelMetadata(
        name=cls.name,
        versions=["1"],
        platform=PLATFORM,
        inputs=[
            ModelTensor(
                name=name,
                datatype=_datatype(cls, name),
                shape=_shape(cls, name),
                parameters={"dims": spec.dims or "see the catalogue", "optional": _optional(cls, name)},
            )
            for name, spec in fields(cls).items()
        ],
        outputs=[ModelTensor(name=name, datatype="FP32", shape=_output_shape(cls, name)) for name in outputs(cls)],
    )


@cache
def config(cls: type[LossRequest]) -> ModelConfig:
    """A loss in Triton's configuration of a model."""
    told = {name: cls.model_fields[name].get_default() for name in options(cls)}
    return ModelConfig(
        name=cls.name,
        platform=PLATFORM,
        backend=PLATFORM,
        version_policy={"latest": {"num_versions": 1}},
        max_batch_size=0,
        input=[
            ConfigTensor(
                name=name,
                data_type=f"TYPE_{_datatype(cls, name)}",
                dims=_shape(cls, name),
                optional=_optional(cls, name),
            )
            for name in fields(cls)
        ],
        output=[ConfigTensor(name=name, data_type="TYPE_FP32", dims=_output_shape(cls, name)) for name in outputs(cls)],
        parameters={
            name: {"string_value": orjson.dumps(default).decode()}
            for name, default in told.items()
            if isinstance(default, (str, int, float))
        },
    )


DATATYPES = {"floating": "FP32", "mask": "BOOL"}
"""By a tensor's kind; whole numbers for all others."""


def _datatype(cls: type[LossRequest], name: str) -> str:
    return DATATYPES.get(fields(cls)[name].kind, "INT64")


def _shape(cls: type[LossRequest], name: str) -> list[int]:
    """As the outputs' loss, the cotangent is 0-d under the default reduction, and there is one dim of cotangents."""
    if name in UPSTREAM:
        return [] if name == COTANGENT else [-1]
    return shape(next(spec.dims for one, spec in fields(cls).items() if name in (one, plain(cls, one))))


def _output_shape(cls: type[LossRequest], name: str) -> list[int]:
    if name.startswith(GRADIENT):
        return _shape(cls, name.removeprefix(GRADIENT))
    return [] if name == "loss" else shape(cls.unreduced)


def _optional(cls: type[LossRequest], name: str) -> bool:
    info = cls.model_fields.get(name)
    return info is not None and not info.is_required()
