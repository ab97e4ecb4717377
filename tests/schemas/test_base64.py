"""Base64 in tensor objects: read as the standard library's strict mode reads it, and refused in its words."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.nested import TensorFault
from schemas.tensor import read

TEXTS = st.one_of(
    st.text("ARZaz09+/=-_ \n\0é", max_size=12),
    st.builds(
        lambda raw, at, odd: base64.b64encode(raw).decode()[:at] + odd + base64.b64encode(raw).decode()[at:],
        st.binary(min_size=1, max_size=100),
        st.integers(0, 140),
        st.text("Aa/= \n", max_size=2),
    ),
)


def strict(text: str) -> Any:
    """The bytes, or what the standard library has against the text."""
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except ValueError as error:
        return f"data is no base64: {str(error).lower()}"


@settings(max_examples=1000, deadline=None, database=None)
@given(text=TEXTS)
def test_base64_is_read_and_refused_as_the_standard_library_does(text: str) -> None:
    wanted = strict(text)
    size = len(wanted) if isinstance(wanted, bytes) else 1
    found: Any
    try:
        found = read({"dtype": "uint8", "shape": [size], "data": text}).array.tobytes()
    except TensorFault as refusal:
        found = refusal.fault.detail
    assert found == wanted
