"""Headers of safetensors files that ask for more than their bytes, refused for what they say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from schemas.problem import INVALID, MALFORMED, TOO_LARGE, InvalidRequest
from service.wire.safetensors import decode, write

MANY = 200_000


def refusal(header: str, data: bytes = b"") -> InvalidRequest:
    """What a file of this header is refused with."""
    text = header.encode()
    with pytest.raises(InvalidRequest) as refused:
        decode(len(text).to_bytes(8, "little") + text + data, None, max_elements=1 << 20)
    return refused.value


def test_one_of_very_many_names_that_is_there_twice_is_found() -> None:
    # Counting each of them among all others would take hours.
    names = ",".join(f'"{at}":""' for at in range(MANY))
    error = refusal(f'{{"__metadata__":{{{names},"{MANY - 1}":""}}}}')
    assert error.status == MALFORMED
    assert error.faults[0].detail == f'the header is no sound JSON: "{MANY - 1}" is there twice'


@pytest.mark.parametrize("shape", [[2**47, 2**47, 0], [2**31, 0], [0, 2**16, 2**16]])
def test_a_shape_beyond_every_limit_is_too_large_without_elements_too(shape: list[int]) -> None:
    error = refusal(json.dumps({"input": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}))
    assert error.status == TOO_LARGE
    assert error.faults[0].pointer == "/input/shape"


def test_a_tensor_is_no_name_of_a_loss() -> None:
    parts = write({"loss": np.zeros(1, np.float32)}, {"request": "{}"})
    with pytest.raises(InvalidRequest) as refused:
        decode(b"".join(bytes(part) for part in parts), None, max_elements=1 << 20)
    assert refused.value.status == INVALID
    assert refused.value.faults[0][:2] == ("/loss", "a text is needed here: the loss's name")
