"""Bodies that schemathesis cannot make of a schema: it loads this module (`hooks` in schemathesis.toml)."""

from __future__ import annotations

from typing import Any, Final

import hypothesis.strategies as st
import schemathesis

from schemas.losses import LOSSES
from schemas.operation import Operation
from schemas.operations import OPERATIONS
from schemas.request import LossRequest
from schemas.tensor import Tensor
from tests.binary import MEDIA_TYPE, Array, pack
from tests.examples import array_of, arrays_of


def _loss_body(cls: type[LossRequest]) -> bytes:
    """A loss's example."""
    tensors, members = arrays_of(cls)
    return pack(tensors, **members)


def _operation_body(cls: type[Operation]) -> bytes:
    """An operation's example."""
    tensors: dict[str, Array] = {}
    members: dict[str, Any] = {}
    for member, value in cls.example.items():
        if member in cls.nested:
            tensors |= {f"{member}.{name}": array_of(it) for name, it in value.items() if isinstance(it, list)}
            members[member] = {name: it for name, it in value.items() if not isinstance(it, list)}
        elif member in cls.maps:
            tensors |= {f"{member}.{name}": array_of(it) for name, it in value.items()}
        elif cls.model_fields[member].annotation == Tensor:
            tensors[member] = array_of(value)
        else:
            members[member] = value
    return pack(tensors, **members)


ANY_LOSS: Final = [_loss_body(cls) for cls in LOSSES.values()]
BODIES: Final = {
    **{f"/v1/losses/{name}": body for name, body in zip(LOSSES, ANY_LOSS, strict=True)},
    **{cls.path: _operation_body(cls) for cls in OPERATIONS.values()},
    "/v1/evaluations/{id}/batches": pack({"input": array_of([[2.0, 0.5, -1.0]]), "target": array_of([0])}),
}
"""By path, the body that is right there."""

schemathesis.openapi.media_type(MEDIA_TYPE, st.sampled_from(ANY_LOSS))


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """The strategy knows the media type alone; where only one kind of request is right, it is put in place."""
    assert context.operation is not None
    return BODIES.get(context.operation.path, body) if isinstance(body, bytes) else body
