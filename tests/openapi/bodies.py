"""Bodies that schemathesis cannot make of a schema: it loads this module (`hooks` in schemathesis.toml)."""

from __future__ import annotations

import hypothesis.strategies as st
import schemathesis

from schemas.losses import LOSSES
from tests.binary import MEDIA_TYPE, pack
from tests.examples import arrays_of

schemathesis.openapi.media_type(
    MEDIA_TYPE, st.sampled_from([pack(tensors, **members) for tensors, members in map(arrays_of, LOSSES.values())])
)
