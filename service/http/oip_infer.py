"""Inference requests (`POST /v2/models/{name}/infer`): read, decode, compute, encode, answer."""

from __future__ import annotations

import time
from functools import lru_cache, partial
from typing import Annotated, Any, Final

from fastapi import Path
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.losses import ALIASES, LOSSES, resolve
from schemas.oip import InferenceRequest, InferenceResponse
from schemas.request import LossRequest
from service.http.access import charge
from service.http.body import combined
from service.http.compute import Computing, hold, send_parts, timed
from service.http.compute_route import ComputeRoute
from service.http.content_encoding import Coding, choose
from service.http.deadline import HEADER
from service.http.formulas import is_long
from service.http.negotiation import JSON, answer_form, form_of
from service.http.openapi import PROBLEMS
from service.http.problems import HTTPProblem
from service.http.reference import PROBLEM, not_found
from service.wire import oip

INFER: Final = "/v2/models/{name}/infer"
INFER_VERSION: Final = "/v2/models/{name}/versions/{version}/infer"
BINARY: Final = b"application/octet-stream"
SERVED: Final = "application/json, application/octet-stream"
# Which of the two an answer is, its request says; Accept need only allow one.
ANSWERS: Final = (JSON, JSON._replace(media_type=BINARY))
EXAMPLE: Final = {
    "id": "42",
    "inputs": [
        {"name": "input", "shape": [2, 3], "datatype": "FP32", "data": [2.0, 0.5, -1.0, 0.1, 0.2, 0.3]},
        {"name": "target", "shape": [2], "datatype": "INT64", "data": [0, 2]},
    ],
    "parameters": {"reduction": "mean", "label_smoothing": 0.1},
    "outputs": [{"name": "loss"}, {"name": "gradients.input"}],
}
ModelName = Annotated[str, Path(description="A loss's name, or an alias of it.", examples=["huber_loss"])]
NO_MODEL: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "There is no such loss.", **PROBLEM}}


class Infer:
    """Inference requests for one loss: an ASGI application, found by its path alone."""

    def __init__(self, computing: Computing, cls: type[LossRequest]) -> None:
        self._computing = computing
        self._class = cls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        computing, name = self._computing, self._class.name
        scope["gradwire.loss"] = name
        headers = combined(scope["headers"])
        check_type(headers.get(b"content-type"))
        answer_form(headers.get(b"accept"), JSON, ANSWERS)
        coding = choose_readable(headers.get(b"accept-encoding"))
        json_bytes = json_size(headers.get(b"inference-header-content-length"))
        asked = computing.timeouts.deadline(scope, headers)  # a malformed header is refused before the body is read
        if HEADER not in headers:
            asked = None  # the server's own measure may give way to the body's
        body = await computing.body(scope, receive, headers)

        began = time.perf_counter()
        read = partial(oip.decode, body, self._class, json_bytes, max_elements=computing.max_elements)
        text = body if json_bytes is None else memoryview(body)[:json_bytes]
        if len(body) < computing.offload and not is_long(text, computing.offload):
            call = read()
        else:
            call = await computing.read_aside(scope, len(body), text, read, asked)
            computing.still_there(scope)
        as_text = not all(one.binary for one in call.outputs) if call.outputs else not call.binary
        hold(scope, call.request, len(body), views=json_bytes is not None, as_text=as_text)
        del body, text, read  # from here on the request's tensors hold what they need of it
        deadline = computing.timeouts.sooner(scope, headers, call.timeout)
        charge(scope, call.request.checked.layout.elements)
        decoded = time.perf_counter()

        outcome = await computing.outcome(computing.engine.submit(call.request, deadline=deadline), receive)

        answered = time.perf_counter()
        size = call.request.checked.layout.elements * JSON.text_bytes if as_text else 0
        parts, json_bytes = await computing.at_size(size, partial(oip.encode, outcome.result, call))
        ended = time.perf_counter()
        computing.counters.answered(name, decoded - began, outcome, ended - answered, ended - began)
        if "gradwire.trace" in scope:
            scope["gradwire.trace"].steps((began, decoded), [(name, outcome, 1)], (answered, ended))
        timing = timed(scope, decoded - began, outcome.queued, outcome.computed, ended - answered, outcome.batch)
        fields = [
            (b"content-type", JSON.media_type if json_bytes is None else BINARY),
            (b"server-timing", timing),
        ]
        if json_bytes is not None:
            fields.append((b"inference-header-content-length", b"%d" % json_bytes))
        del call, outcome  # what is sent is all that is still needed
        if coding is not None:
            parts = await computing.coded(scope, parts, fields, coding)
        await send_parts(scope, send, parts, fields)


def infers(computing: Computing) -> dict[str, ASGIApp]:
    """What serves inference requests, by path: every loss under its names, with and without its version."""
    served = {name: Infer(computing, cls) for name, cls in LOSSES.items()}
    named = {**served, **{alias: served[name] for alias, name in ALIASES.items()}}
    return {path: infer for name, infer in named.items() for path, _ in infer_templates(name)}


def infer_templates(name: str) -> tuple[tuple[str, str], ...]:
    """The paths of inference requests for a loss of that name or alias, each with its route's template."""
    return (
        (f"/v2/models/{name}/infer", INFER),
        (f"/v2/models/{name}/versions/{oip.VERSION}/infer", INFER_VERSION),
    )


def check_type(content_type: bytes | None) -> None:
    """Whether a body of that type is read: JSON, with or without binary data behind it. Raises `HTTPProblem` 415."""
    if content_type in (None, JSON.media_type, BINARY):
        return
    media = (content_type or b"").partition(b";")[0].strip().lower()
    if media == BINARY:
        return
    if media == JSON.media_type or (media.startswith(b"application/") and media.endswith(b"+json")):
        form_of(content_type)  # which looks at the charset
        return
    told = media.decode("latin-1") or "of nothing"
    raise HTTPProblem(
        415, f"Content-Type {told} is not served; send {SERVED.replace(', ', ' or ')}", {"accept": SERVED}
    )


@lru_cache(maxsize=64)  # callers send the same few
def choose_readable(accept_encoding: bytes | None) -> Coding | None:
    """The coding for an answer: gzip or deflate.

    tritonclient's library for HTTP may offer zstd and br by itself, but the client unpacks only those two.
    """
    if accept_encoding is None:
        return None
    offered = accept_encoding.lower().split(b",")
    return choose(b",".join(item for item in offered if not item.strip().startswith(b"zstd")))


def json_size(value: bytes | None) -> int | None:
    """What Inference-Header-Content-Length says; `None`: nothing follows the JSON. Raises `HTTPProblem` 400."""
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise HTTPProblem(400, "Inference-Header-Content-Length must be a number of bytes")
    return int(value)


class InferRoute(ComputeRoute):
    """Inference requests that `Infer` has not served: they are for no model, or have another method."""

    def refusal(self, scope: Scope) -> Exception:
        """That there is no such model, or the method. Raises `HTTPProblem` 404."""
        model(**scope["path_params"])
        return super().refusal(scope)


def model(name: str, version: str | None = None) -> type[LossRequest]:
    """The loss of that name or alias. Raises `HTTPProblem` 404, for another version than the one there is too."""
    cls = resolve(name)
    if cls is None:
        raise not_found(name)
    if version is not None and version != oip.VERSION:
        raise HTTPProblem(404, f"{cls.name} has no version {version[:40]!r}; there is one version: {oip.VERSION}")
    return cls


def infer_routes() -> list[InferRoute]:
    """The routes of inference requests."""
    return [InferRoute(INFER, _documented), InferRoute(INFER_VERSION)]


def _documented() -> APIRoute:
    async def operation(name: ModelName, request: InferenceRequest) -> Any:
        """Only a signature."""

    return APIRoute(
        INFER,
        operation,
        methods=["POST"],
        response_model=InferenceResponse,
        operation_id="infer",
        name="infer",
        summary="A loss and its gradients, as inference",
        description=(
            "Inputs are the loss's tensors, parameters its options, outputs `loss`, `gradients.<name>` and what the "
            "loss answers beside them. Without outputs all are answered; without a gradient among them there is no "
            "backward pass.\n\n"
            "Binary tensors: the body is JSON, whose size is told by `Inference-Header-Content-Length`, then the data "
            "of every input that has the parameter `binary_data_size`, in order, little-endian and row-major. Outputs "
            "with `binary_data`, or all with the request's `binary_data_output`, are answered alike, as "
            "`application/octet-stream`. Any mix will do."
        ),
        tags=["open inference protocol"],
        response_description="The outputs that were asked for.",
        responses={**PROBLEMS, **NO_MODEL},
        # Binary bodies are told of in words: with two forms of a body, openapi-python-client makes code that fails.
        openapi_extra={"requestBody": {"content": {"application/json": {"example": EXAMPLE}}}},
    )
