"""OpenTelemetry traces: a span for every request, its steps, and the batches that requests were computed in.

Imported only where `traces` is set, since it needs the extra `gradwire[otel]`. The steps are timed anyhow; their spans
are made from those times when the request has ended. They hold no tensor values and no keys
(docs/adr/0017-tracing.md).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final, Literal

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from starlette.types import Scope

from service.engine import Outcome
from service.http.metrics.traffic import METHODS, OTHER
from service.line_writer import LINES

GATHER_SECONDS: Final = 1.0
"""How long a batch's span waits for the requests that were in it: some callers leave, some answers are long."""

CLOSE_SECONDS: Final = 5.0
"""How long the end of the service waits for the last spans to be taken."""

Fields = list[tuple[bytes, bytes]]


class _Headers(Getter[Fields]):
    """Reads ASGI's header fields for the propagators."""

    def get(self, carrier: Fields, key: str) -> list[str] | None:
        """The values of a field."""
        wanted = key.lower().encode("latin-1")
        return [value.decode("latin-1") for name, value in carrier if name == wanted] or None

    def keys(self, carrier: Fields) -> list[str]:
        """The fields' names."""
        return [name.decode("latin-1") for name, _ in carrier]


_HEADERS: Final = _Headers()


class Trace:
    """One request's span, and the times of its steps until it ends."""

    __slots__ = ("began", "encoded", "ids", "offset", "outcomes", "span")

    def __init__(self, span: Span, offset: int) -> None:
        context = span.get_span_context()
        self.span = span
        self.offset = offset
        """What makes nanoseconds since 1970 of those of `time.perf_counter`."""
        self.ids = (f"{context.trace_id:032x}", f"{context.span_id:016x}")
        self.began = (0.0, 0.0)
        self.encoded = (0.0, 0.0)
        self.outcomes: Sequence[tuple[str, Outcome[Any], int]] = ()

    def steps(
        self,
        decoding: tuple[float, float],
        outcomes: Sequence[tuple[str, Outcome[Any], int]],
        encoding: tuple[float, float],
    ) -> None:
        """Note what was done: from when to when it was read and written, and what came out of computing, by loss."""
        self.began, self.encoded = decoding, encoding
        # Without the results: those end with the answer.
        self.outcomes = [(loss, outcome._replace(result=None), requests) for loss, outcome, requests in outcomes]

    def at(self, instant: float) -> int:
        """Nanoseconds since 1970."""
        return int(instant * 1e9) + self.offset


class _Batch:
    """The span of a batch, of which so many requests have not been heard of."""

    def __init__(self, span: Span, left: int, ends: int) -> None:
        self.span = span
        self.left = left
        self.ends = ends


class Tracing:
    """Makes spans; used on the event loop alone."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("gradwire", version("gradwire"))
        self._batches: dict[float, _Batch] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, scope: Scope, method: str) -> None:
        """Start a request's span, in its caller's trace where it tells of one (W3C trace context, or OTEL_PROPAGATORS).

        In the scope, it is `gradwire.trace`.
        """
        began = time.time_ns()
        known = method in METHODS
        attributes: dict[str, str | int] = {
            "http.request.method": method if known else "_OTHER",
            "url.path": scope["path"],
            "url.scheme": scope.get("scheme", "http"),
            "network.protocol.version": scope.get("http_version", "1.1"),
            "gradwire.request_id": scope["gradwire.id"].decode("latin-1"),
        }
        if not known:
            attributes["http.request.method_original"] = method
        if scope.get("server"):
            attributes["server.address"] = scope["server"][0]
            if scope["server"][1] is not None:
                attributes["server.port"] = scope["server"][1]
        span = self._tracer.start_span(
            method if known else "HTTP",
            propagate.extract(scope["headers"], getter=_HEADERS),
            SpanKind.SERVER,
            attributes,
            start_time=began,
        )
        scope["gradwire.trace"] = Trace(span, began - time.perf_counter_ns())

    def end(self, scope: Scope, method: str, route: str, status: int) -> None:
        """Its answer is out: end its span, and make those of its steps."""
        trace: Trace = scope["gradwire.trace"]
        span = trace.span
        if span.is_recording():
            self._describe(span, scope, method, route, status)
            if trace.outcomes:
                self._steps(trace)
            span.end()

    async def close(self) -> None:
        """End what is open and send all that has not been sent, or leave it after a while."""
        if self._timer is not None:
            self._timer.cancel()
        self._gathered()
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self._provider.shutdown()
            try:
                loop.call_soon_threadsafe(done.set)
            except RuntimeError:  # nobody waits any more
                return

        threading.Thread(target=shut_down, name="gradwire-traces", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await done.wait()
        except TimeoutError:
            return

    def _describe(self, span: Span, scope: Scope, method: str, route: str, status: int) -> None:
        if route != OTHER:
            span.set_attribute("http.route", route)
            span.update_name(f"{method if method in METHODS else 'HTTP'} {route}")
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("http.request.body.size", scope.get("gradwire.received", 0))
        span.set_attribute("http.response.body.size", scope.get("gradwire.sent", 0))
        for name in ("loss", "caller"):
            value = scope.get(f"gradwire.{name}")
            if value is not None:
                span.set_attribute(f"gradwire.{name}", value)
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(Status(StatusCode.ERROR))

    def _steps(self, trace: Trace) -> None:
        parent = set_span_in_context(trace.span)
        began, decoded = trace.began
        self._child("decode", parent, trace, began, decoded)
        # A batch call waits for its last turn, and has as many batches as it took.
        waited = max([outcome.began for _, outcome, _ in trace.outcomes])
        self._child("queue", parent, trace, decoded, max(waited, decoded))
        seen = set()
        for loss, outcome, requests in trace.outcomes:
            linked = self._batch(trace, parent, loss, outcome, requests)
            if outcome.began not in seen:
                seen.add(outcome.began)
                ends = outcome.began + outcome.computed
                child = self._start("compute", parent, trace, outcome.began, [Link(linked.span.get_span_context())])
                child.set_attribute("gradwire.loss", loss)
                child.set_attribute("gradwire.batch.requests", outcome.batch)
                child.end(trace.at(ends))
        answered, ended = trace.encoded
        self._child("encode", parent, trace, answered, ended)

    def _start(self, name: str, parent: Context, trace: Trace, began: float, links: list[Link] | None = None) -> Span:
        return self._tracer.start_span(name, parent, SpanKind.INTERNAL, links=links, start_time=trace.at(began))

    def _child(self, name: str, parent: Context, trace: Trace, began: float, ended: float) -> None:
        self._start(name, parent, trace, began).end(trace.at(ended))

    def _batch(self, trace: Trace, parent: Context, loss: str, outcome: Outcome[Any], requests: int) -> _Batch:
        """The span of the batch that an outcome came from, linked to this request.

        It lies in the trace of the first request that is heard of, so that it is kept where one of its requests is.
        """
        batch = self._batches.get(outcome.began)
        if batch is None:
            span = self._start("batch", parent, trace, outcome.began)
            span.set_attribute("gradwire.loss", loss)
            span.set_attribute("gradwire.batch.requests", max(outcome.batch, requests))
            batch = _Batch(span, max(outcome.batch, requests), trace.at(outcome.began + outcome.computed))
            self._batches[outcome.began] = batch
            if self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(GATHER_SECONDS, self._look, dict(self._batches))
        batch.span.add_link(trace.span.get_span_context())
        batch.left -= requests
        if batch.left <= 0:
            self._batches.pop(outcome.began).span.end(batch.ends)
        return batch

    def _look(self, before: dict[float, _Batch]) -> None:
        """End the spans that were open at the last look already."""
        self._timer = None
        for began, batch in before.items():
            if self._batches.pop(began, None) is not None:
                batch.span.end(batch.ends)
        if self._batches:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(GATHER_SECONDS, self._look, dict(self._batches))

    def _gathered(self) -> None:
        for batch in self._batches.values():
            batch.span.end(batch.ends)
        self._batches.clear()


def open_tracing(kind: Literal["otlp", "console"]) -> Tracing:
    """Traces sent by OTLP over HTTP, or written to standard error; all else is told by the SDK's `OTEL_*` variables."""
    exporter: SpanExporter
    if kind == "console":
        exporter = ConsoleSpanExporter(out=LINES, formatter=lambda span: span.to_json(indent=None) + "\n")
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - slow

        exporter = OTLPSpanExporter()
    # What the variables tell wins over the name that is ours.
    own = Resource({"service.name": "gradwire", "service.version": version("gradwire")})
    provider = TracerProvider(resource=Resource.create().merge(own).merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider)
