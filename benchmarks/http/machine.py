"""What a table was measured on, without naming the machine."""

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from benchmarks.peers.environments import requirements
from benchmarks.peers.services import FOLDERS

PACKAGES = (
    *("gradwire", "torch", "numpy", "fastapi", "starlette", "pydantic", "orjson", "pysimdjson"),
    *("uvicorn", "uvloop", "httptools"),
)
SHARED = {"numpy", "orjson", "torch"}


def facts(servers: Iterable[str]) -> dict[str, str]:
    """Cores that may be used, system, and the versions of Python, `wrk`, this environment's packages and the peers."""
    found = {
        "cores": str(len(os.sched_getaffinity(0))),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "wrk": _wrk_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    for server in servers:
        if server in FOLDERS:
            found |= {name: pin for name, pin in requirements(FOLDERS[server]).items() if name not in SHARED}
    return found


def _wrk_version() -> str:
    # It prints `wrk <version> [<event loop>] ...`, then its usage, and ends with code 1.
    shown = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return shown.split()[1]
