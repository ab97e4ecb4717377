"""Run as a program: the memory that operations take beside their tensors, and what arithmetic says of it.

`python -m tests.operations.footprints NUMBERS` prints a line for each request: its operation, the peak and the bound,
in bytes.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from schemas.footprint import footprint
from schemas.operations import OPERATIONS
from service.compute import compute, open_device
from tests.contract.footprints import resident
from tests.operations.cases import large


def main(numbers: int) -> None:
    """Measure every request; the second time, when torch has loaded its parts."""
    libc, device = ctypes.CDLL("libc.so.6"), open_device("cpu")
    for name, members in large(numbers):
        request = OPERATIONS[name].model_validate(members)
        for _ in range(2):
            libc.malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            before = resident("VmRSS")
            compute([request], device)
            peak = resident("VmHWM") - before
        taken = footprint(request)
        sys.stdout.write(f"{name} {peak} {taken.work + taken.answer}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
