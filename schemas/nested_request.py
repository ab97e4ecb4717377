"""A request for a loss inside another request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from schemas.faults import Suggestions
from schemas.losses import ALIASES, LOSSES, resolve
from schemas.problem import Fault, InvalidRequest, pointer
from schemas.request import LossRequest

DESCRIPTION: Final = "A request for a loss, as POST /v1/loss takes it: its name, its tensors and its options."


def nested(value: Any, where: str, info: ValidationInfo) -> LossRequest:
    """The checked request that a member holds. Raises `InvalidRequest` whose pointers begin with that member."""
    if isinstance(value, LossRequest):
        return value
    if type(value) is not dict:
        raise InvalidRequest([Fault(pointer(where), "an object is needed here: a request for a loss")])
    name = value.get("loss")
    if type(name) is not str:
        detail = "required: the loss's name" if name is None else "a text is needed here: the loss's name"
        raise InvalidRequest([Fault(pointer(where, "loss"), detail)])
    cls = resolve(name)
    if cls is None:
        asked = name[:80]
        suggestions = (info.context and info.context.suggestions) or Suggestions()
        meant = suggestions.like(asked, (*LOSSES, *ALIASES))
        raise InvalidRequest([Fault(pointer(where, "loss"), f"there is no loss {asked!r}{meant}")])
    if cls.made_of_losses:
        raise InvalidRequest(
            [Fault(pointer(where, "loss"), f"a {cls.name} is not taken here: ask for each of its terms")]
        )
    try:
        return cls.model_validate(value, context=info.context)
    except InvalidRequest as error:
        faults = [fault._replace(pointer=pointer(where) + fault.pointer) for fault in error.faults]
        raise InvalidRequest(faults, cls.name) from None


class _Nested:
    """How Pydantic reads and describes such a member: as one component."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            lambda value, info: nested(value, info.field_name or "", info), ref="LossMembers"
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "title": "LossMembers",
            "description": DESCRIPTION,
            "type": "object",
            "required": ["loss"],
            "properties": {
                "loss": {"title": "Loss", "type": "string", "description": "The loss: its name, or an alias."}
            },
            "additionalProperties": True,
        }


if TYPE_CHECKING:
    NestedRequest = LossRequest
else:
    # Of a class, Pydantic would ask for its own description too.
    NestedRequest = Annotated[Any, _Nested]
    """The type of such a member."""
