"""The memory that a checked request takes, by arithmetic on its shapes."""

from __future__ import annotations

from typing import Final, NamedTuple

from schemas.cotangents import extra_elements
from schemas.dtype import FLOATING
from schemas.tensor_request import TensorRequest

LEAST_SIZE: Final = 4
"""Bytes of an element in work space: half types may be computed in float32."""
KEPT: Final = 2
"""Times as much work space where there are more backward passes than one (tests/contract/test_footprint.py)."""


class Footprint(NamedTuple):
    """Bytes of a request's tensors, its answer, and what computing takes beside them; and the numbers answered."""

    tensors: int
    answer: int
    work: int
    numbers: int


def footprint(request: TensorRequest) -> Footprint:
    """What a request takes."""
    checked = request.checked
    layout = checked.layout
    size = FLOATING[checked.dtype].itemsize
    tensors = sum([array.nbytes for array in checked.tensors.values()])
    if checked.cotangent is not None:
        tensors += checked.cotangent.nbytes
    elements = layout.elements
    if checked.cotangents is not None:
        tensors += checked.cotangents.nbytes
        # Those gradients are in the answer, and made one after the other; what they are made from stays meanwhile.
        elements = KEPT * (elements - extra_elements(checked))
    numbers = request.numbers()
    work = elements * max(size, LEAST_SIZE) * request.workspace
    return Footprint(tensors, numbers * size, work, numbers)
