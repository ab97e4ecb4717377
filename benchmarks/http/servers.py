"""Who is asked: the servers, as data. A peer is two new records in `benchmarks.peers.services`."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.http.dialects import ECHO, LOSS, NAIVE, Dialect

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    """A command, the path that answers 200 once it is ready, its dialects by body form, and its environment variables.

    `{port}` in the command, and `{scratch}`, a folder of its own, there and in the variables, are filled in.
    """

    name: str
    kind: Literal["subject", "baseline", "limit", "peer", "bare peer"]
    command: tuple[str, ...]
    ready: str
    dialects: Mapping[str, Dialect]
    environment: Mapping[str, str] = field(default_factory=dict)


# One process, and the same event loop, HTTP parser and silence for all, so that only the application differs.
UVICORN = (
    *(sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
    *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
)
SUBJECT = "Gradwire"


def own_servers(gradwire: str) -> tuple[Server, ...]:
    """Gradwire first: the length of its answers is what the echo answers."""
    serve = (*shlex.split(gradwire), "serve", "--host", "127.0.0.1", "--port", "{port}")
    echo = (*UVICORN, "--lifespan", "off", "benchmarks.echo:app")
    return (
        Server(SUBJECT, "subject", serve, "/readyz", LOSS),
        Server("naive", "baseline", (*UVICORN, "benchmarks.naive:app"), "/openapi.json", NAIVE),
        Server("naive typed", "baseline", (*UVICORN, "benchmarks.naive:typed"), "/openapi.json", NAIVE),
        Server("echo", "limit", echo, "/2", ECHO),
    )
