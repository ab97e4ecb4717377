"""OpenTelemetry traces: spans of requests, of their steps, and of the batches that they were computed in."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from schemas.losses import LOSSES
from schemas.request import LossRequest
from service.http.tracing import Tracing
from service.losses import FORMULAS, Formula, Tensors, Terms
from service.settings import Settings
from tests.asgi import InProcess
from tests.serving import serving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STEPS = ["decode", "queue", "compute", "encode"]
REQUEST = {"loss": "mse_loss", "input": [3.0], "target": [1.0]}


class Traced(InProcess):
    """The application, its spans kept in memory."""

    def __init__(self, share: float = 1.0) -> None:
        super().__init__(Settings(device="cpu", access_log=False, log_level="error"))
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(share)), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.app.state.tracing = self.app.front._tracing = Tracing(provider)  # type: ignore[attr-defined]

    def spans(self) -> list[ReadableSpan]:
        """All spans that have ended since the last look."""
        found = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        return found


@pytest.fixture
def traced() -> Iterator[Traced]:
    """An application that keeps all its spans."""
    with Traced() as made:
        yield made


def named(spans: list[ReadableSpan], name: str) -> ReadableSpan:
    """The one span of that name."""
    (found,) = [span for span in spans if span.name == name]
    return found


def span_id(span: ReadableSpan) -> int:
    """Its id."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def test_a_request_has_a_span_named_by_its_route_and_one_for_each_step(traced: Traced) -> None:
    traced.post(json.dumps(REQUEST).encode(), "/v1/losses/MSELoss", x_request_id="mine")
    spans = traced.spans()
    server = named(spans, "POST /v1/losses/{name}")
    assert server.kind == SpanKind.SERVER
    assert server.parent is None
    attributes = dict(server.attributes or {})
    assert attributes["http.request.method"] == "POST"
    assert attributes["http.route"] == "/v1/losses/{name}"
    assert attributes["url.path"] == "/v1/losses/MSELoss"
    assert attributes["http.response.status_code"] == 200
    assert attributes["gradwire.loss"] == "mse_loss"
    assert attributes["gradwire.request_id"] == "mine"
    assert attributes["http.request.body.size"] == len(json.dumps(REQUEST))
    last = server.start_time
    for step in STEPS:
        span = named(spans, step)
        assert span.parent is not None
        assert span.parent.span_id == span_id(server)
        assert last is not None
        assert span.start_time is not None
        assert span.end_time is not None
        assert last - 1000 <= span.start_time <= span.end_time  # float seconds: rounded by less than a microsecond
        last = span.end_time
    assert server.end_time is not None
    assert last is not None
    assert last <= server.end_time + 1000


def test_a_callers_trace_goes_on_and_its_state_is_kept(traced: Traced) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=value"}
    traced.request("POST", "/v1/loss", content=json.dumps(REQUEST), headers=headers)
    for span in traced.spans():
        context = span.get_span_context()
        assert context is not None
        assert f"{context.trace_id:032x}" == TRACE
        assert context.trace_state.get("vendor") == "value"
        if span.kind == SpanKind.SERVER:
            assert span.parent is not None
            assert f"{span.parent.span_id:016x}" == PARENT


def test_what_is_no_traceparent_begins_a_new_trace(traced: Traced) -> None:
    for wrong in ("00-0-0-01", "x" * 5000, f"00-{'0' * 32}-{PARENT}-01"):
        traced.get("/v1/limits", headers={"traceparent": wrong})
        assert named(traced.spans(), "GET /v1/limits").parent is None


def test_a_batch_is_linked_to_all_requests_that_were_in_it(traced: Traced) -> None:
    async def together() -> None:
        import asyncio  # noqa: PLC0415 - only here

        await asyncio.gather(*[traced.http.post("/v1/loss", json=REQUEST) for _ in range(8)])

    traced.run(together())
    spans = traced.spans()
    servers = {span_id(span) for span in spans if span.kind == SpanKind.SERVER}
    batches = [span for span in spans if span.name == "batch"]
    assert len(servers) == 8
    linked = [{link.context.span_id for link in batch.links} for batch in batches]
    assert sum(map(len, linked)) == 8
    assert set().union(*linked) == servers
    assert max(map(len, linked)) > 1, "nothing was computed together"
    for batch, requests in zip(batches, linked, strict=True):
        assert (batch.attributes or {})["gradwire.batch.requests"] == len(requests)
        assert (batch.attributes or {})["gradwire.loss"] == "mse_loss"
    ids = {span_id(batch) for batch in batches}
    computes = [span for span in spans if span.name == "compute"]
    assert len(computes) == 8
    assert {link.context.span_id for span in computes for link in span.links} == ids


def test_a_batch_call_is_one_request_with_its_batches(traced: Traced) -> None:
    other = {"loss": "l1_loss", "input": [3.0], "target": [1.0]}
    body = {"requests": [REQUEST, REQUEST, other]}
    assert traced.post(json.dumps(body).encode(), "/v1/loss/batch").status_code == 200
    spans = traced.spans()
    server = named(spans, "POST /v1/loss/batch")
    losses = {(span.attributes or {})["gradwire.loss"] for span in spans if span.name == "compute"}
    assert losses == {"mse_loss", "l1_loss"}
    for batch in [span for span in spans if span.name == "batch"]:
        assert {link.context.span_id for link in batch.links} == {span_id(server)}


def test_an_error_of_ours_sets_the_status_and_one_of_the_callers_does_not(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced.refusal(422, "mse_loss", input=[1.0, 2.0], target=[1.0])
    wrong = named(traced.spans(), "POST /v1/loss")
    assert wrong.status.status_code == StatusCode.UNSET
    assert (wrong.attributes or {})["http.response.status_code"] == 422

    def broken(request: LossRequest, tensors: Tensors) -> Terms:
        raise RuntimeError("0.123456789")

    monkeypatch.setitem(FORMULAS, LOSSES["l1_loss"], Formula(broken))
    traced.refusal(500, "l1_loss", input=[1.0], target=[2.0])
    spans = traced.spans()
    failed = named(spans, "POST /v1/loss")
    assert failed.status.status_code == StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "500"
    assert not any("0.1234" in span.to_json() for span in spans)


def test_what_is_not_sampled_costs_no_spans() -> None:
    with Traced(share=0.0) as traced:
        traced.answer("mse_loss", input=[1.0], target=[2.0])
        assert traced.spans() == []
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}  # sampled by its caller
        traced.request("POST", "/v1/loss", content=json.dumps(REQUEST), headers=headers)
        assert {span.name for span in traced.spans()} == {"POST /v1/loss", *STEPS, "batch"}


def test_unknown_paths_and_methods_make_no_names(traced: Traced) -> None:
    traced.get("/no/such/path")
    traced.request("BREW", "/v1/loss")
    traced.request("HEAD", "/v1/limits")
    spans = traced.spans()
    assert [span.name for span in spans] == ["GET", "HTTP /v1/loss", "HEAD /v1/limits"]
    assert (spans[1].attributes or {})["http.request.method"] == "_OTHER"
    assert (spans[1].attributes or {})["http.request.method_original"] == "BREW"


class Receiver:
    """An OTLP/HTTP collector that keeps what it is sent."""

    def __init__(self) -> None:
        self.taken: queue.SimpleQueue[ExportTraceServiceRequest] = queue.SimpleQueue()
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["content-length"]))
                taken.put(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A collector."""
    made = Receiver()
    yield made
    made.close()


def test_spans_reach_a_collector_and_the_log_tells_their_trace(receiver: Receiver) -> None:
    endpoint = f"http://127.0.0.1:{receiver.server.server_port}"
    variables: dict[str, Any] = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
    }
    with serving(GRADWIRE_TRACES="otlp", GRADWIRE_LOG_FORMAT="json", **variables) as server:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "traced"}
        httpx.post(f"{server.url}/v1/loss", json=REQUEST, headers=headers, timeout=60).raise_for_status()
    found: dict[str, Any] = {}
    resources = []
    while not receiver.taken.empty():
        for resource in receiver.taken.get().resource_spans:
            resources.append({item.key: item.value.string_value for item in resource.resource.attributes})
            found |= {span.name: span for scope in resource.scope_spans for span in scope.spans}
    assert found.keys() >= {"POST /v1/loss", *STEPS, "batch"}
    assert all(one["service.name"] == "gradwire" for one in resources)
    assert all(one["deployment.environment"] == "test" for one in resources)
    assert found["POST /v1/loss"].trace_id.hex() == TRACE
    assert found["batch"].links[0].span_id == found["POST /v1/loss"].span_id
    entries = [json.loads(line) for line in server.lines]
    (entry,) = [entry for entry in entries if entry.get("request_id") == "traced"]
    assert entry["trace_id"] == TRACE
    assert entry["span_id"] == found["POST /v1/loss"].span_id.hex()


def test_a_collector_that_is_not_there_harms_nothing() -> None:
    with serving(GRADWIRE_TRACES="otlp", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as server:
        httpx.post(f"{server.url}/v1/loss", json=REQUEST, timeout=60).raise_for_status()


def test_the_console_writes_each_span_as_a_line_on_standard_error() -> None:
    with serving(GRADWIRE_TRACES="console", GRADWIRE_LOG_FORMAT="json") as server:
        httpx.post(f"{server.url}/v1/loss", json=REQUEST, timeout=60).raise_for_status()
    assert {"POST /v1/loss", "batch"} <= {json.loads(line).get("name") for line in server.lines}
