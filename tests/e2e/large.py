"""Large requests for the real server, and the answers that they must get."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from schemas.losses import LOSSES
from service.compute import compute, open_device
from tests.binary import MEDIA_TYPE, Array, pack, unpack
from tests.e2e.test_wire import Caller, post
from tests.serving import RunningServer

MB = 1 << 20
FORM = (f"Content-Type: {MEDIA_TYPE}",)


class Upload(NamedTuple):
    """A request, head and body, and what its answer holds. Every byte of it counts in the gradient."""

    head: bytes
    body: bytes
    gradient: Array

    @property
    def whole(self) -> bytes:
        """All that goes over the wire."""
        return self.head + self.body

    def answered(self, caller: Caller) -> None:
        """The caller's next answer is this request's, to the bit."""
        status, headers, body = caller.answer()
        assert (status, headers.get("content-type")) == (200, MEDIA_TYPE), body[:500]
        found, _ = unpack(body)
        assert found["gradients.input"].tobytes() == self.gradient.tobytes()


@lru_cache(maxsize=8)
def upload(size: int = 4 * MB, seed: int = 1, fields: tuple[str, ...] = ()) -> Upload:
    """A request whose body has exactly that many bytes."""
    rng = np.random.default_rng(seed)
    elements = (size - 400) // 8
    arrays = {name: rng.normal(size=elements).astype(np.float32) for name in ("input", "target")}
    members: dict[str, Any] = {"loss": "mse_loss", "reduction": "sum"}
    body = pack(arrays, **members)
    start = 8 + int.from_bytes(body[:8], "little")
    header = body[8:start] + b" " * (size - len(body))
    body = len(header).to_bytes(8, "little") + header + body[start:]
    assert len(body) == size
    result = compute([LOSSES["mse_loss"].model_validate({**members, **arrays})], open_device("cpu"))[0]
    head = post(b"", *FORM, *fields).replace(b"Content-Length: 0", b"Content-Length: %d" % size)
    return Upload(head, body, result.gradients["input"])


def goes_on(server: RunningServer) -> None:
    """Another caller is answered; by then the server has seen what was sent before."""
    with Caller(server) as caller:
        caller.send(post())
        assert caller.loss() == 4.0


def resident(server: RunningServer) -> int:
    """Bytes of memory that the server holds."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS:"))


def is_quiet(server: RunningServer) -> None:
    """Its log tells of no exception."""
    assert [line for line in server.lines if "Traceback" in line or '"level":"error"' in line] == []
