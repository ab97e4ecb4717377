"""Reading a request's body, within bounds, and what its headers say of it and of the answer."""

from __future__ import annotations

from typing import Any

from service.http.problems import HTTPProblem

Headers = dict[bytes, bytes]

RANGES = {"*/*": 0, "application/*": 1, "application/json": 2}
"""Media ranges that hold the answer's type, and how telling each is."""


class Disconnected(Exception):
    """The caller has gone."""


def combined(fields: list[tuple[bytes, bytes]]) -> Headers:
    """Header fields by name; of a repeated one, all values in one list (RFC 9110, section 5.3)."""
    headers = dict(fields)
    if len(headers) == len(fields):
        return headers
    headers = {}
    for name, value in fields:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


async def read_body(receive: Any, headers: Headers, limit: int) -> bytes:
    """The whole body, of at most `limit` bytes; refused unread where its declared length is larger.

    Raises `HTTPProblem` 413, 415 (a Content-Encoding) and `Disconnected`.
    """
    coding = headers.get(b"content-encoding")
    if coding is not None and coding.strip().lower() != b"identity":
        raise HTTPProblem(415, f"Content-Encoding {_text(coding)} is not served", {"accept-encoding": "identity"})
    declared = headers.get(b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    first: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(first) > limit:
            raise _too_large(limit)
        return first
    parts, size = [first], len(first)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limit: int) -> HTTPProblem:
    return HTTPProblem(413, f"the body is larger than {limit} bytes", {"connection": "close"})


def check_content_type(value: bytes | None) -> None:
    """JSON, in UTF-8; a body without a Content-Type is taken for JSON. Raises `HTTPProblem` 415."""
    if value is None or value == b"application/json":
        return
    media, *parameters = [part.strip() for part in _text(value).lower().split(";")]
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise HTTPProblem(
            415,
            f"Content-Type {media or 'of nothing'} is not served; send application/json",
            {"accept": "application/json"},
        )
    for parameter in parameters:
        name, _, charset = parameter.partition("=")
        if name.strip() == "charset" and charset.strip('" ') not in ("utf-8", "utf8", "us-ascii"):
            raise HTTPProblem(415, f"charset {charset} is not served; send UTF-8", {"accept": "application/json"})


def check_accept(value: bytes | None) -> None:
    """The answer is JSON: is that acceptable? The most telling range decides. Raises `HTTPProblem` 406."""
    if value is None or value == b"*/*" or not value.strip():
        return
    best, quality = -1, 0.0
    for item in _text(value).lower().split(","):
        media, *parameters = [part.strip() for part in item.split(";")]
        weight = RANGES.get(media, -1)
        if weight > best:
            best, quality = weight, _quality(parameters)
    if quality <= 0:
        raise HTTPProblem(406, "the answer is application/json, which Accept does not allow")


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _text(value: bytes) -> str:
    return value.decode("latin-1")
