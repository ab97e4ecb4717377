"""A request with tensors: checked until nothing is left that torch could trip over.

`TensorRequest` is the base of every loss's request (`schemas.request`) and of every operation's
(`schemas.operation`). A class says what its tensors are (`schemas.field`) and what more must hold; `schemas.check`
holds what is common.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import (
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
from pydantic_core import CoreSchema

from schemas.dims import Shape, broadcasts
from schemas.dtype import FloatingName
from schemas.faults import faults_of
from schemas.field import TensorField
from schemas.layout import Layout, Shapes, layout_of
from schemas.problem import Fault, InvalidRequest
from schemas.tensor import MAX_TENSORS, Reading, Tensor

if TYPE_CHECKING:
    from schemas.check import Checked

Stacking = Literal["elements", "rows", "alone"]

# The default of a member that may be left out but is never null. Its type in the schema stays that of a given value.
ABSENT: Any = None

DEFAULT_READING = Reading()

MAX_MEMBERS = 1024
"""Members beyond which a request is not looked at: each unknown one would be a fault to tell."""


class TensorRequest(BaseModel):
    """What all requests with tensors have."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=False)

    unreduced: ClassVar[str]
    """Dims of the unreduced loss, in every form; where they follow from an option, under its default."""
    stacking: ClassVar[Stacking] = "alone"
    stack_limit: ClassVar[int] = 24_576
    """Elements above which a request is computed in a batch of its own (benchmarks/results.md, "Stacking")."""
    workspace: ClassVar[int] = 5
    """Elements of memory that computing takes at most for each that it needs (tests/contract/test_footprint.py)."""
    common: ClassVar[frozenset[str]] = frozenset(("dtype", "encoding"))
    """Members that are no options of one class alone."""
    maps: ClassVar[frozenset[str]] = frozenset()
    """Members that are objects of tensors, whose names the caller chooses."""
    nested: ClassVar[frozenset[str]] = frozenset()
    """Members that are requests for a loss themselves."""
    max_tensors: ClassVar[int] = MAX_TENSORS
    name: ClassVar[str]
    tensor_fields: ClassVar[dict[str, TensorField]]
    option_names: ClassVar[tuple[str, ...]]

    dtype: FloatingName = Field(
        ABSENT,
        description="The type that floating-point tensors are brought to, and that all is computed and answered in. "
        "Left out: the widest floating-point type among the typed tensors (float32 for float16 beside bfloat16), "
        "float32 if there is none.",
    )
    encoding: Literal["list", "base64"] = Field(
        "list", description="How a JSON answer writes its tensors: nested lists, or objects with base64 data."
    )

    @cached_property
    def checked(self) -> Checked:
        """The request, ready to compute. Validation puts it in place, as a plain and fast attribute."""
        raise AttributeError("a request is made by validation, never by model_construct")

    # What a class may add to the common checks.

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

    @abstractmethod
    def examine(self, reading: Reading, broken: set[str], faults: list[Fault]) -> Checked:
        """Check all that the fields themselves have not, except those that are `broken`; append to `faults`."""

    @abstractmethod
    def numbers(self) -> int:
        """Numbers that are answered."""

    def arrays(self) -> dict[str, Tensor]:
        """The tensors that are there, by name, in the order of the fields."""
        own = self.__dict__
        return {name: own[name] for name in self.tensor_fields if own[name] is not None}

    @classmethod
    def fields_of(cls, given: dict[str, Tensor]) -> dict[str, TensorField]:
        """The contract of each tensor that is there."""
        return cls.tensor_fields

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
        request.__dict__["checked"] = request.examine(reading, broken, faults)
        if faults:
            raise InvalidRequest(faults)
        return request

    @classmethod
    def path_of(cls, name: str) -> str:
        """Where a tensor lies: `tail.0.output` in a list, `parameters.x` in an object of tensors."""
        return name

    @classmethod
    def member_of(cls, name: str) -> str:
        """The member that a tensor lies in."""
        return cls.path_of(name).partition(".")[0]

    # What is derived from a subclass's fields, once.

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.tensor_fields = {name: spec for name, info in cls.model_fields.items() if (spec := _spec(info))}
        cls.option_names = tuple(name for name in cls.model_fields if name not in {*cls.common, *cls.tensor_fields})

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler(schema)
        described = handler.resolve_ref_schema(found)
        for name, entry in described.get("properties", {}).items():
            if entry.get("default", ...) is None:
                del entry["default"]
            cls.describe(name, entry)
            spec = cls.tensor_fields.get(name)
            if spec:
                entry["description"] = f"{entry.get('description', '')} {spec.describe()}".strip()
        return found

    @classmethod
    def describe(cls, name: str, entry: dict[str, Any]) -> None:
        """Add to a member's JSON Schema what follows from the class."""


def _spec(info: FieldInfo) -> TensorField | None:
    return next((item for item in info.metadata if isinstance(item, TensorField)), None)


def _without(data: Any, faults: list[Fault], cls: type[TensorRequest]) -> Any:
    """The same data with its faulty members taken out or, where they are required, replaced by an empty tensor."""
    if not isinstance(data, dict):
        return data
    broken = {fault.pointer.split("/")[1].replace("~1", "/").replace("~0", "~") for fault in faults if fault.pointer}
    kept = {name: value for name, value in data.items() if name not in broken}
    for name in broken & set(cls.tensor_fields):
        if cls.model_fields[name].is_required():
            kept[name] = Tensor(np.zeros(0), typed=False)
    return kept
