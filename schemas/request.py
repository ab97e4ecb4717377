"""One request: a loss, its tensors and its options, checked until nothing is left that torch could trip over.

`LossRequest` is the base of every loss's own class (in `schemas.losses`). A class says what its tensors are
(`schemas.field`) and what more must hold; `schemas.check` holds what is common.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from schemas.check import Checked, check
from schemas.dims import Shape, broadcasts
from schemas.dtype import FloatingName
from schemas.faults import faults_of
from schemas.field import TensorField
from schemas.layout import Layout, Shapes, layout_of
from schemas.problem import Fault, InvalidRequest
from schemas.tensor import Reading, Tensor

Reduction = Literal["none", "mean", "sum"]
Stacking = Literal["elements", "rows", "alone"]


def _of_64_bits(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise PydanticCustomError("int64", "must be a whole number of 64 bits")
    return value


Int64 = Annotated[int, AfterValidator(_of_64_bits), Field(json_schema_extra={"format": "int64"})]
"""A whole number that torch takes: bounds in the schema itself would be literals that generated Java cannot hold."""

# The default of a member that may be left out but is never null. Its type in the schema stays that of a given value.
ABSENT: Any = None

DEFAULT_READING = Reading()

MAX_MEMBERS = 1024
"""Members beyond which a request is not looked at: each unknown one would be a fault to tell."""


@dataclass(frozen=True, slots=True)
class About:
    """What the catalogue tells of a loss besides its fields."""

    family: str
    formula: str
    mean: str
    example: dict[str, Any]
    notes: tuple[str, ...] = ()
    source: str = "torch.nn.functional"


class LossRequest(BaseModel):
    """The members that every loss has."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=False)

    about: ClassVar[About]
    unreduced: ClassVar[str]
    """Dims of the unreduced loss, in every form; where they follow from an option, under its default."""
    stacking: ClassVar[Stacking] = "alone"
    stack_limit: ClassVar[int] = 24_576
    """Elements above which a request is computed in a batch of its own (benchmarks/results.md, "Stacking")."""
    workspace: ClassVar[int] = 5
    """Elements of memory that computing takes at most for each that it needs (tests/contract/test_footprint.py)."""
    predictions: ClassVar[tuple[str, ...]] = ("input",)
    """The tensors that `gradients` names when it is left out, as far as they are there."""
    extra_answers: ClassVar[tuple[str, ...]] = ()
    """What is answered beside the loss and its gradients: tensors of the unreduced loss's shape."""
    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]]
    tensor_fields: ClassVar[dict[str, TensorField]]
    option_names: ClassVar[tuple[str, ...]]

    reduction: Reduction = Field(
        "mean", description="`none` answers the unreduced loss; `mean` divides as the catalogue says; `sum` adds up."
    )
    gradients: list[str] = Field(
        ABSENT,
        description="The tensors to answer gradients for: any floating-point tensor of the request in which PyTorch "
        "differentiates the loss. An empty list asks for the loss alone, without a backward pass. Left out: ",
    )
    cotangent: Tensor = Field(
        ABSENT,
        description="The upstream gradient v, of exactly the shape of the answered loss (0-d for `mean` and `sum`); "
        "gradients are then v-Jacobian products. Ones if left out.",
    )
    dtype: FloatingName = Field(
        ABSENT,
        description="The type that floating-point tensors are brought to, and that the loss is computed and answered "
        "in. Left out: the widest floating-point type among the typed tensors (float32 for float16 beside bfloat16), "
        "float32 if there is none.",
    )
    on_empty: Literal["nan", "zero", "error"] = Field(
        "nan", description="What `mean` is when nothing contributes: NaN as in PyTorch, zero, or a 422 problem."
    )
    encoding: Literal["list", "base64"] = Field(
        "list", description="How a JSON answer writes its tensors: nested lists, or objects with base64 data."
    )
    size_average: bool = Field(ABSENT, deprecated="Use reduction.", description="Mapped as PyTorch maps it.")
    reduce: bool = Field(ABSENT, deprecated="Use reduction.", description="Mapped as PyTorch maps it.")

    @cached_property
    def checked(self) -> Checked:
        """The request, ready to compute. Validation puts it in place, as a plain and fast attribute."""
        raise AttributeError("a LossRequest is made by validation, never by model_construct")

    # What a loss may add to the common checks.

    def layout(self, shapes: Shapes) -> Layout:
        """How these shapes of the tensors that are there fit together."""
        return layout_of(type(self), shapes, self.unreduced)

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """Fit shapes that the dims cannot tell of; add to `layout.elements` what the computation needs beside them."""

    @classmethod
    def spread(cls, name: str, shape: Shape, to: Shape) -> Shape | None:
        """For a tensor that broadcasts: the shape to view it in so that it expands to `to`; `None`: it does not."""
        return shape if broadcasts(shape, to) else None

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Check values that the fields cannot tell of; set `ignored`, and append to `faults` and `warnings`.

        Of a loss that stacks it is also asked with tensors that have one more axis in front (`schemas.bundle`).
        """

    def arrays(self) -> dict[str, Tensor]:
        """The tensors that are there, by name, in the order of the fields."""
        own = self.__dict__
        return {name: own[name] for name in self.tensor_fields if own[name] is not None}

    def mean_divides(self, checked: Checked) -> int | None:
        """What `mean` divides by, where that is a count; `None` where the formula tells it, from weights."""
        return checked.count

    @model_validator(mode="wrap")
    @classmethod
    def _validate(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        faults: list[Fault] = []
        if isinstance(data, dict) and len(data) > MAX_MEMBERS:
            raise InvalidRequest(
                [Fault("", f"the request has {len(data)} members; no loss has more than {MAX_MEMBERS}")]
            )
        try:
            request = handler(data)
        except ValidationError as error:
            faults = faults_of(error, set(cls.model_fields), info.context and info.context.suggestions)
            patched = _without(data, faults, cls)
            try:
                request = handler(patched)
            except ValidationError:
                raise InvalidRequest(faults) from None
        reading = info.context if info.context is not None else DEFAULT_READING
        broken = {fault.pointer.split("/")[1] for fault in faults if fault.pointer} if faults else set()
        request.__dict__["checked"] = check(request, reading, broken, faults)
        if faults:
            raise InvalidRequest(faults)
        return request

    def default_gradients(self) -> tuple[str, ...]:
        """The loss's predictions (and parameters): what `gradients` is when left out, as far as it is there."""
        return self.predictions

    @classmethod
    def fields_of(cls, given: dict[str, Tensor]) -> dict[str, TensorField]:
        """The contract of each tensor that is there."""
        return cls.tensor_fields

    # What is derived from a subclass's fields, once.

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.tensor_fields = {name: spec for name, info in cls.model_fields.items() if (spec := _spec(info))}
        common = {*LossRequest.model_fields, "loss"}
        cls.option_names = tuple(name for name in cls.model_fields if name not in common | set(cls.tensor_fields))
        if "loss" in cls.model_fields:
            cls.name, *others = cls.model_fields["loss"].annotation.__args__  # type: ignore[union-attr]
            cls.aliases = tuple(others)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler(schema)
        described = handler.resolve_ref_schema(found)
        for name, entry in described.get("properties", {}).items():
            if entry.get("default", ...) is None:
                del entry["default"]
            if name == "loss":
                entry["description"] = f"The loss: {' or '.join(f'`{one}`' for one in (cls.name, *cls.aliases))}."
            if name == "gradients":
                if all(cls.model_fields[prediction].is_required() for prediction in cls.predictions):
                    entry["default"] = list(cls.predictions)
                entry["description"] += f"{', '.join(cls.predictions)}, as far as they are there."
            spec = cls.tensor_fields.get(name)
            if spec:
                entry["description"] = f"{entry.get('description', '')} {spec.describe()}".strip()
        return found


def _spec(info: FieldInfo) -> TensorField | None:
    return next((item for item in info.metadata if isinstance(item, TensorField)), None)


def _without(data: Any, faults: list[Fault], cls: type[LossRequest]) -> Any:
    """The same data with its faulty members taken out or, where they are required, replaced by an empty tensor."""
    if not isinstance(data, dict):
        return data
    broken = {fault.pointer.split("/")[1].replace("~1", "/").replace("~0", "~") for fault in faults if fault.pointer}
    kept = {name: value for name, value in data.items() if name not in broken}
    for name in broken & set(cls.tensor_fields):
        if cls.model_fields[name].is_required():
            kept[name] = Tensor(np.zeros(0), typed=False)
    return kept
