"""One request: a loss, its tensors and its options, checked until nothing is left that torch could trip over.

`LossRequest` is the base of every loss's own class (in `schemas.losses`). A class says what its tensors are
(`schemas.field`), this module holds what is common: reading, shapes, types, values, gradients, reduction and limits.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
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

from schemas import values
from schemas.dims import Shape, broadcasts, expected, forms, numel, show
from schemas.dtype import BFLOAT16, FLOATING, NAMES, FloatingName, is_floating, widest
from schemas.faults import faults_of
from schemas.field import TensorField
from schemas.layout import Layout, Shapes
from schemas.problem import TOO_LARGE, Fault, InvalidRequest, pointer
from schemas.tensor import Reading, Tensor

Reduction = Literal["none", "mean", "sum"]
Stacking = Literal["elements", "rows", "alone"]

# The default of a member that may be left out but is never null. Its type in the schema stays that of a given value.
ABSENT: Any = None

DEFAULT_READING = Reading()


@dataclass(frozen=True, slots=True)
class About:
    """What the catalogue tells of a loss besides its fields."""

    family: str
    formula: str
    mean: str
    example: dict[str, Any]
    notes: tuple[str, ...] = ()
    source: str = "torch.nn.functional"


@dataclass(slots=True)
class Checked:
    """A request ready to compute: arrays of their final types, and all that was worked out on the way.

    `tensors` by name, floating ones of type `dtype`, index and integer ones int64. `count` and `ignored`: contributing
    and ignored elements of the unreduced loss. `divisor`: what `mean` divides by, where that is a count. `key`: requests with an equal key may be stacked; `None` never is.
    """

    tensors: dict[str, NDArray[Any]]
    layout: Layout
    dtype: FloatingName = "float32"
    reduction: str = "mean"
    gradients: tuple[str, ...] = ()
    cotangent: NDArray[Any] | None = None
    count: int = 0
    ignored: int = 0
    divisor: int | None = None
    key: Hashable = None
    warnings: list[str] = field(default_factory=list)


class LossRequest(BaseModel):
    """The members that every loss has."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=False)

    about: ClassVar[About]
    unreduced: ClassVar[str]
    """Dims of the unreduced loss, in every form."""
    stacking: ClassVar[Stacking] = "alone"
    stack_limit: ClassVar[int] = 16_384
    """Elements above which a request is computed in a batch of its own (benchmarks/results.md, "Stacking")."""
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

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """Fit shapes that the dims cannot tell of; add to `layout.elements` what the computation needs beside them."""

    @classmethod
    def spread(cls, name: str, shape: Shape, to: Shape) -> Shape | None:
        """For a tensor that broadcasts: the shape to view it in so that it expands to `to`; `None`: it does not."""
        return shape if broadcasts(shape, to) else None

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Check values that the fields cannot tell of; set `ignored`, and append to `faults` and `warnings`."""

    def arrays(self) -> dict[str, Tensor]:
        """The tensors that are there, by name, in the order of the fields."""
        own = self.__dict__
        return {name: own[name] for name in self.tensor_fields if own[name] is not None}

    def mean_divides(self, checked: Checked) -> int | None:
        """What `mean` divides by, where that is a count; `None` where the formula tells it, from weights."""
        return checked.count

    # The common checks.

    @model_validator(mode="wrap")
    @classmethod
    def _validate(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        faults: list[Fault] = []
        try:
            request = handler(data)
        except ValidationError as error:
            faults = faults_of(error, set(cls.model_fields))
            patched = _without(data, faults, cls)
            try:
                request = handler(patched)
            except ValidationError:
                raise InvalidRequest(faults) from None
        reading = info.context if info.context is not None else DEFAULT_READING
        broken = {fault.pointer.split("/")[1] for fault in faults if fault.pointer}
        request.__dict__["checked"] = request._check(reading, broken, faults)
        if faults:
            raise InvalidRequest(faults)
        return request

    def _check(self, reading: Reading, broken: set[str], faults: list[Fault]) -> Checked:
        given = {name: tensor for name, tensor in self.arrays().items() if name.split(".")[0] not in broken}
        shapes = tuple((name, tensor.array.shape) for name, tensor in given.items())
        layout = _layout(type(self), shapes)
        faults.extend(layout.faults)
        cotangent = ABSENT if "cotangent" in broken else self.cotangent
        elements = layout.elements + (0 if cotangent is None else cotangent.array.size)
        if elements > reading.max_elements:
            faults.append(
                Fault(
                    "",
                    f"the request needs {elements} elements, broadcasts expanded; the limit is {reading.max_elements}",
                    TOO_LARGE,
                )
            )
            return Checked({}, layout)
        dtype = self._dtype(given, cotangent)
        checked = Checked({}, layout, dtype)
        checked.count = numel(layout.unreduced)
        self._check_tensors(given, checked, faults)
        checked.reduction = self._reduction(checked)
        checked.gradients = self._gradients(checked, broken, faults)
        if not broken and not layout.faults:
            self.check(checked, faults)
            checked.count -= checked.ignored
            if self.on_empty == "error" and checked.count == 0 and checked.reduction in ("mean", "batchmean"):
                faults.append(Fault("/on_empty", "nothing contributes to the mean, and on_empty is error"))
            checked.cotangent = self._cotangent(cotangent, checked, faults)
        if not faults:
            checked.divisor = self.mean_divides(checked)
            checked.key = self._key(checked)
        return checked

    def _dtype(self, given: dict[str, Tensor], cotangent: Tensor | None) -> FloatingName:
        if self.dtype is not None:
            return self.dtype
        every = given.values() if cotangent is None else (*given.values(), cotangent)
        typed = {NAMES[tensor.array.dtype] for tensor in every if tensor.typed and is_floating(tensor.array.dtype)}
        return cast(FloatingName, widest(typed)) if typed else "float32"

    def _check_tensors(self, given: dict[str, Tensor], checked: Checked, faults: list[Fault]) -> None:
        wanted = FLOATING[checked.dtype]
        layout = checked.layout
        fields = self.fields_of(given)
        for name, tensor in given.items():
            spec = fields[name]
            array = tensor.array
            if spec.kind == "floating" or (spec.kind == "index" and layout.probabilities):
                array = cast_floating(array, wanted)
                values.check_domain(spec.domain, name, array, faults, checked.warnings)
            elif array.dtype.kind not in "iu" and array.size:
                faults.append(values.not_whole(name, array))
                continue
            else:
                array = array.astype(np.int64, copy=False)
                if spec.kind == "index" and not layout.faulty(name) and (classes := layout.size("C")) is not None:
                    ignore = getattr(self, "ignore_index", None)
                    checked.ignored += values.check_indices(name, array, classes, ignore, faults)
            tensor.array = array  # the caller's own form is not needed any more
            checked.tensors[name] = array

    def _reduction(self, checked: Checked) -> str:
        own = self.__dict__  # past the descriptors that warn of deprecated fields
        size_average, reduce = own["size_average"], own["reduce"]
        if size_average is None and reduce is None:
            return cast(str, own["reduction"])
        for member in ("size_average", "reduce"):
            if own[member] is not None:
                checked.warnings.append(f"{member} is deprecated: use reduction")
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"

    def _gradients(self, checked: Checked, broken: set[str], faults: list[Fault]) -> tuple[str, ...]:
        if "gradients" in broken:
            return ()
        if self.gradients is None:
            return tuple(name for name in self.default_gradients() if name in checked.tensors)
        known = self.fields_of(self.arrays())
        for at, name in enumerate(self.gradients):
            reason = None
            if name not in known and name not in self.tensor_fields:
                reason = f"{self.name} has no tensor {name!r}; its tensors are {', '.join(self.tensor_fields)}"
            elif name in self.gradients[:at]:
                reason = f"{name} is named twice"
            elif name.split(".")[0] in broken:
                continue
            elif name not in known:
                reason = f"{name} is not in the request"
            else:
                reason = self.not_differentiable(name, known[name], checked.layout)
            if reason:
                faults.append(Fault(pointer("gradients", at), reason))
        return tuple(self.gradients)

    def not_differentiable(self, name: str, spec: TensorField, layout: Layout) -> str | None:
        """Why there is no gradient in this tensor, if there is none."""
        if spec.differentiable == "always" or (spec.differentiable == "with probabilities" and layout.probabilities):
            return None
        if spec.kind == "integer" or spec.kind == "index":
            return f"{name} holds integers: there is no gradient in it"
        if spec.differentiable == "with probabilities":
            return f"PyTorch has no gradient in {name} when the targets are class indices"
        return f"PyTorch has no gradient of {self.name} in {name}"

    def default_gradients(self) -> tuple[str, ...]:
        """The loss's predictions (and parameters): what `gradients` is when left out, as far as it is there."""
        return self.predictions

    @classmethod
    def fields_of(cls, given: dict[str, Tensor]) -> dict[str, TensorField]:
        """The contract of each tensor that is there."""
        return cls.tensor_fields

    def _cotangent(self, given: Tensor | None, checked: Checked, faults: list[Fault]) -> NDArray[Any] | None:
        if given is None:
            return None
        wanted = checked.layout.unreduced if checked.reduction == "none" else ()
        if given.array.shape != wanted:
            faults.append(
                Fault("/cotangent", f"shape {show(given.array.shape)} is not the loss's shape, which is {show(wanted)}")
            )
            return None
        given.array = cast_floating(given.array, FLOATING[checked.dtype])
        return given.array

    def _key(self, checked: Checked) -> Hashable:
        layout = checked.layout
        if self.stacking == "alone" or layout.elements > self.stack_limit or 0 in layout.unreduced or not layout.rows:
            return None
        shared: tuple[bytes, ...] = ()
        if self.stacking == "rows":
            names = self.shared(layout, checked.tensors)
            # The gradient in a tensor that all rows share is a sum over the rows of the whole stack.
            if any(name in checked.gradients for name in names):
                return None
            shared = tuple(checked.tensors[name].tobytes() for name in names)
        own = self.__dict__
        options = tuple([own[name] for name in self.option_names])
        return (type(self), checked.dtype, layout.probabilities, layout.trailing, options, shared)

    @classmethod
    def shared(cls, layout: Layout, names: Any) -> list[str]:
        """Of tensors stacked by rows, those that have no rows (class weights)."""
        return [name for name in names if not batched(cls.tensor_fields[name])]

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
            if name == "gradients":
                entry["default"] = list(cls.predictions)
                entry["description"] += f"{', '.join(cls.predictions)}, as far as they are there."
            spec = cls.tensor_fields.get(name)
            if spec:
                entry["description"] = f"{entry.get('description', '')} {spec.describe()}".strip()
        return found


def batched(spec: TensorField) -> bool:
    """Whether the tensor has rows that can be stacked: its batched form starts with `N` or `*B`."""
    form = forms(spec.dims)[-1]
    return bool(form) and form[0] in ("N", "*B")


def cast_floating(array: NDArray[Any], dtype: np.dtype) -> NDArray[Any]:
    """The array in that floating type; overflow becomes infinity, as in torch."""
    if array.dtype == dtype:
        return array
    if dtype == BFLOAT16 and array.dtype.kind == "b":
        array = array.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(dtype)


def _spec(info: FieldInfo) -> TensorField | None:
    return next((item for item in info.metadata if isinstance(item, TensorField)), None)


@lru_cache(maxsize=4096)
def _layout(cls: type[LossRequest], shapes: Shapes) -> Layout:
    """The layout of these shapes: read-only once made, since requests share it."""
    layout = Layout(dict(shapes))
    layout.bind(cls.tensor_fields)
    found = expected(forms(cls.unreduced)[min(layout.form, len(forms(cls.unreduced)) - 1)], layout.bound)
    layout.unreduced = found if found is not None else ()
    for name, spec in cls.tensor_fields.items():
        if spec.broadcast and name in layout.shapes and found is not None:
            viewed = cls.spread(name, layout.shapes[name], found)
            if viewed is None:
                layout.fault(name, f"shape {show(layout.shapes[name])} does not broadcast to {show(found)}")
            else:
                layout.spread[name] = viewed
    layout.elements = sum(numel(found or shape if name in layout.spread else shape) for name, shape in shapes)
    layout.elements += numel(layout.unreduced)
    cls.arrange(layout)
    if cls.stacking == "rows":
        _arrange_rows(cls, layout)
    elif cls.stacking == "elements":
        layout.trailing = tuple((name, ()) for name, _ in shapes)
    return layout


def _arrange_rows(cls: type[LossRequest], layout: Layout) -> None:
    batch = layout.bound.get("N", layout.bound.get("*B", ()))
    layout.rows = numel(batch)
    layout.inner = layout.unreduced[len(batch) :]
    layout.trailing = tuple(
        (name, shape[len(batch) :] if batched(cls.tensor_fields[name]) else shape)
        for name, shape in layout.shapes.items()
    )


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
