"""A small server of evaluation runs, in memory: what it was sent can be looked at, and what it answers be arranged."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pybase64
from numpy.typing import NDArray

from schemas.dtype import DTYPES
from service.wire import safetensors

PAGE = 3
"""Batches of a page: few, so that there are many pages."""


@dataclass
class Taken:
    """A batch as it was taken."""

    tensors: dict[str, NDArray[Any]]
    members: dict[str, Any]
    body: bytes


@dataclass
class StandIn:
    """The server's runs, the calls it got, and what it is to answer to the next batches in place of its own."""

    url: str = ""
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    sealed: set[str] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)
    batches: dict[str, dict[str, Taken]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    next_answers: list[tuple[int, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    no_run: dict[str, Any] | None = None
    """The problem that new runs are refused with."""
    results: dict[str, Any] = field(default_factory=dict)
    held_after: int | None = None
    """Batches beyond so many wait until `go`."""
    holding: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> str:
        """The id of the only run."""
        (found,) = self.specs
        return found

    def taken(self) -> list[Taken]:
        """The batches of the only run, in the order of their ids."""
        batches = self.batches[self.run()]
        return [batches[name] for name in sorted(batches)]

    def rows(self, name: str, axis: int = 0) -> NDArray[Any]:
        """A tensor of all batches."""
        return np.concatenate([batch.tensors[name] for batch in self.taken()], axis)

    def listed(self, name: str) -> list[str]:
        """The sample ids or groups of all batches."""
        return [one for batch in self.taken() for one in batch.members[name]]


def read(body: bytes, media_type: str) -> Taken:
    """The tensors and other members of a batch."""
    if media_type == safetensors.MEDIA_TYPE:
        file = safetensors.read(body, 64)
        return Taken({name: one.array for name, one in file.tensors.items()}, safetensors.request_of(file), body)
    assert media_type == "application/json"
    members = json.loads(body)
    tensors = {
        name: np.frombuffer(pybase64.b64decode(one["data"]), DTYPES[one["dtype"]]).reshape(one["shape"])
        for name, one in members.items()
        if isinstance(one, dict)
    }
    return Taken(tensors, {name: one for name, one in members.items() if name not in tensors}, body)


@np.errstate(all="ignore")
def figures(batches: list[Taken]) -> dict[str, Any]:
    """Mean squared error or cross entropy, and accuracy where there are classes."""
    losses, right = [], []
    for batch in batches:
        x, y = batch.tensors["input"].astype(float), batch.tensors["target"]
        if x.shape == y.shape:
            losses.append((x - y) ** 2)
        else:
            losses.append(np.log(np.exp(x).sum(1)) - x[np.arange(len(x)), y])
            right.append(x.argmax(1) == y)
    loss = float(np.concatenate([one.ravel() for one in losses]).mean()) if losses else None
    samples = sum(len(batch.tensors["target"]) for batch in batches)
    metrics = {"accuracy": float(np.concatenate(right).mean())} if right else {}
    return {"loss": loss, "samples": samples, "count": samples, "ignored": 0, "metrics": metrics}


class Handler(BaseHTTPRequestHandler):
    """The routes of runs."""

    protocol_version = "HTTP/1.1"
    state: StandIn

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with suppress(ConnectionError):  # the caller may be gone: some tests kill it
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def do_any(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = url.path.removeprefix("/v1/evaluations").strip("/").split("/")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        state = self.state
        with state.lock:
            state.calls.append(f"{self.command} {'/'.join(parts[1:])}".strip())
            state.tokens.add(self.headers.get("authorization"))
        run = parts[0]
        if self.command == "POST" and not run and state.no_run is not None:
            self.answer(state.no_run["status"], state.no_run)
        elif self.command == "POST" and not run:
            self.made(json.loads(body))
        elif run not in state.specs:
            self.answer(404, {"status": 404, "detail": "there is no such evaluation"})
        elif self.command == "PATCH":
            assert json.loads(body) == {"state": "sealed"}
            state.sealed.add(run)
            self.answer(200, self.told(run))
        elif parts[1:] == ["batches"] and self.command == "POST":
            self.added(run, body)
        elif parts[1:] == ["batches"]:
            names = list(state.batches[run])
            at = int(query.get("cursor", 0))
            after = str(at + PAGE) if at + PAGE < len(names) else None
            page = [{"batch_id": name} for name in names[at : at + PAGE]]
            self.answer(200, {"batches": page, "next_cursor": after})
        elif parts[1:] == ["report"]:
            results = figures(list(state.batches[run].values())) | state.results
            report = {"evaluation": self.told(run), "results": results}
            self.answer(200, report if query["format"] == "json" else f"a report as {query['format']}".encode())
        else:
            self.answer(200, self.told(run))

    do_GET = do_POST = do_PATCH = do_any  # noqa: N815 - the standard library's names

    def told(self, run: str) -> dict[str, Any]:
        return {"id": run, "state": "sealed" if run in self.state.sealed else "open", **self.state.specs[run]}

    def made(self, spec: dict[str, Any]) -> None:
        state, key = self.state, self.headers["idempotency-key"]
        with state.lock:
            fresh = key not in state.keys
            if fresh:
                run = state.keys[key] = f"ev_{len(state.keys)}"
                state.specs[run], state.batches[run] = spec, {}
        self.answer(201 if fresh else 200, self.told(state.keys[key]))

    def added(self, run: str, body: bytes) -> None:
        state = self.state
        with state.lock:
            if state.next_answers:
                status, headers, problem = state.next_answers.pop(0)
                self.answer(status, problem, headers)
                return
            held = state.held_after is not None and len(state.batches[run]) >= state.held_after
        if held:
            state.holding.set()
            state.go.wait(60)
            return  # as a server that crashed
        batch = read(body, self.headers["content-type"])
        with state.lock:
            known = state.batches[run].setdefault(batch.members["batch_id"], batch)
            assert known.body == body, "another batch bears this id"
            total = figures(list(state.batches[run].values()))
        self.answer(200, {"batch_id": batch.members["batch_id"], "duplicate": known is not batch, "total": total})


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """A server on a free port."""
    state = StandIn()
    handler = type("OfState", (Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            state.go.set()
            server.shutdown()
            thread.join()
