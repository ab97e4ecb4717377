"""Which elements of an unreduced loss contribute, and which are ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from schemas.request import LossRequest


def contributing(request: LossRequest) -> NDArray[np.bool_] | None:
    """By `ignore_index` and masks, in the unreduced loss's shape; `None` where these do not tell the whole."""
    checked = request.checked
    wanted = checked.layout.unreduced
    found = np.ones(wanted, np.bool_)
    ignored: Any = request.__dict__.get("ignore_index")
    for name, array in checked.tensors.items():
        spec = request.tensor_fields.get(name)
        if spec is None or array.shape != wanted:
            continue
        if spec.kind == "index" and ignored is not None and not checked.layout.probabilities:
            found &= array != ignored
        elif spec.kind == "mask" and spec.dims == request.unreduced and not spec.chooses:
            found &= array
    return found if int(np.count_nonzero(found)) == checked.count else None
