"""Which form a body is in, and which form its answer is wanted in: Content-Type and Accept (RFC 9110, section 12.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from schemas.operation import OperationResult
from schemas.result import LossResult
from schemas.tensor_request import TensorRequest
from service.http.problems import HTTPProblem
from service.wire import json, safetensors

Parts = list[Any]
"""A body in parts: bytes-like, each a piece of memory of its own."""


class Form(NamedTuple):
    """A form of bodies: how requests are read and results written in it.

    `text`: the JSON in a body; `hard`: how many times as long as JSON's a byte of it takes to read. `text_bytes`: bytes
    that writing an element takes, about; 0 where its memory is sent as it is, and the tensors of a request are views of
    its body. `factor`: bytes that a byte of a body takes until it has been answered, about.
    """

    media_type: bytes
    decode: Callable[[Any, type[TensorRequest] | None, int], Any]
    encode: Callable[[LossResult | OperationResult, str], Parts]
    text: Callable[[Any], Any]
    hard: int
    text_bytes: int
    factor: int


JSON: Final = Form(
    b"application/json",
    lambda body, cls, max_elements: json.decode(body, cls, max_elements=max_elements),
    lambda result, encoding: [json.encode(result, encoding)],
    text=lambda body: body,
    hard=1,
    text_bytes=12,
    factor=3,
)
SAFETENSORS: Final = Form(
    b"application/vnd.safetensors",
    lambda body, cls, max_elements: safetensors.decode(body, cls, max_elements=max_elements),
    lambda result, _encoding: safetensors.encode(result),
    text=safetensors.header,
    hard=16,  # the standard library's reader, which shows names that are given twice
    text_bytes=0,
    factor=2,
)
FORMS: Final = (JSON, SAFETENSORS)
SERVED: Final = ", ".join(form.media_type.decode() for form in FORMS)


def form_of(content_type: bytes | None) -> Form:
    """The form of a body; one without a Content-Type is taken for JSON. Raises `HTTPProblem` 415."""
    if content_type is None or content_type == JSON.media_type:
        return JSON
    if content_type == SAFETENSORS.media_type:
        return SAFETENSORS
    media, *parameters = [part.strip() for part in _text(content_type).lower().split(";")]
    if media == "application/vnd.safetensors":
        return SAFETENSORS
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise _unsupported(
            f"Content-Type {media or 'of nothing'} is not served; send {' or '.join(SERVED.split(', '))}"
        )
    for parameter in parameters:
        name, _, charset = parameter.partition("=")
        if name.strip() == "charset" and charset.strip('" ') not in ("utf-8", "utf8", "us-ascii"):
            raise _unsupported(f"charset {charset} is not served; send UTF-8")
    return JSON


def answer_form(accept: bytes | None, own: Form, offered: tuple[Form, ...] = FORMS) -> Form:
    """The form that is wanted most; among equals, the request's own. Raises `HTTPProblem` 406.

    For each form the most telling range decides, as `Accept` says.
    """
    if accept is None or accept in (own.media_type, b"*/*") or not accept.strip():
        return own
    ranges = [_range(item) for item in _text(accept).lower().split(",")]
    best, quality = own, 0.0
    for form in sorted(offered, key=lambda one: one is not own):
        wanted = _quality(form.media_type.decode(), ranges)
        if wanted > quality:
            best, quality = form, wanted
    if quality <= 0:
        served = " or ".join(form.media_type.decode() for form in offered)
        raise HTTPProblem(406, f"the answer is {served}, which Accept does not allow")
    return best


def preferred(accept: bytes | None, offered: tuple[str, ...]) -> str:
    """The media type that is wanted most; among equals, the first. Raises `HTTPProblem` 406."""
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [_range(item) for item in _text(accept).lower().split(",")]
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if _quality(best, ranges) <= 0:
        raise HTTPProblem(406, f"the answer is {' or '.join(offered)}, which Accept does not allow")
    return best


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    told = dict(reversed(ranges))
    kind = media_type.partition("/")[0]
    return next((told[name] for name in (media_type, f"{kind}/*", "*/*") if name in told), 0.0)


def _range(item: str) -> tuple[str, float]:
    """A media range and its quality."""
    media, *parameters = [part.strip() for part in item.split(";")]
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media, float(value)
            except ValueError:
                return media, 0.0
    return media, 1.0


def _unsupported(detail: str) -> HTTPProblem:
    return HTTPProblem(415, detail, {"accept": SERVED})


def _text(value: bytes) -> str:
    return value.decode("latin-1")
