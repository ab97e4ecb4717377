"""Everything that goes wrong, as problem details.

Exception
└── HTTPProblem         a status and a sentence; raised where HTTP itself is the matter
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from schemas.problem import INVALID, MALFORMED, TOO_LARGE, UNSUPPORTED, Fault, InvalidRequest, pointer
from service.engine import DeadlinePassed, EngineStopped, TooLargeForDevice, WorkerFailed

MEDIA_TYPE: Final = "application/problem+json"
MAX_ERRORS: Final = 256
AGAIN: Final = {"retry-after": "1"}

# RFC 9110's names, which http.HTTPStatus has only since Python 3.13.
TITLES: Final = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}


class HTTPProblem(Exception):
    """An answer other than 2xx, in words."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def stopping() -> HTTPProblem:
    """Another process, or this one's successor, will answer."""
    return HTTPProblem(503, "the service is stopping", {"retry-after": "1", "connection": "close"})


def problem(status: int, detail: str, instance: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """A problem document."""
    title = TITLES.get(status) or HTTPStatus(status).phrase
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
    }
    if errors is not None:
        document["errors"] = errors
    return document


def reference(path: bytes) -> str:
    """A path as a URI reference, whatever the caller sent."""
    return quote(path, safe="/%:@!$&'()*+,;=-._~")


def render(error: BaseException, instance: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a request that ended in this exception."""
    status, headers, told = document(error, instance)
    if instance == "/v2" or instance.startswith("/v2/"):
        told["error"] = told["detail"]  # where clients of the Open Inference Protocol look
    return status, {"content-type": MEDIA_TYPE, **headers}, orjson.dumps(told)


def document(error: BaseException, instance: str) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers and problem document of a request that ended in this exception."""
    if isinstance(error, InvalidRequest):
        return error.status, {}, _invalid(error, instance)
    if isinstance(error, RequestValidationError):
        faults = [Fault(pointer(*item["loc"]), item["msg"]) for item in error.errors()]
        return 422, {}, _invalid(InvalidRequest(faults), instance)
    if isinstance(error, HTTPProblem):
        return error.status, error.headers, problem(error.status, error.detail, instance)
    if isinstance(error, HTTPException):
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if headers.get("allow") == "GET":
            headers["allow"] = "GET, HEAD"
        return error.status_code, headers, problem(error.status_code, _plain(error, headers, instance), instance)
    told = _unanswered(error)
    if told is not None:
        status, detail = told
        return status, AGAIN if status == 503 else {}, problem(status, detail, instance)
    # Never the exception's own text: it may hold paths, values or code.
    return 500, {}, problem(500, "an internal error; the log has it under this request's id", instance)


def _unanswered(error: BaseException) -> tuple[int, str] | None:
    """Status and detail where the engine has no answer to a sound request."""
    if isinstance(error, EngineStopped):
        return 503, "the service is stopping or not ready"
    if isinstance(error, WorkerFailed):
        return 503, "the computation was broken off; it may be asked for again"
    if isinstance(error, DeadlinePassed):
        return 504, "the deadline passed before the answer was there"
    if isinstance(error, TooLargeForDevice) and error.never:
        return 413, "the device that computes has not as much memory as this needs"
    if isinstance(error, TooLargeForDevice):
        return 503, "the device that computes has no room for this now, even alone"
    return None


def _plain(error: HTTPException, headers: Mapping[str, str], instance: str) -> str:
    if error.status_code == 404 and error.detail == "Not Found":
        return f"there is nothing at {instance}; /docs shows what there is"
    if error.status_code == 405:
        return f"the method is not served here; these are: {headers.get('allow', 'none')}"
    return str(error.detail)


def _invalid(error: InvalidRequest, instance: str) -> dict[str, Any]:
    faults = error.faults
    count = len(faults)
    telling = next((fault for fault in faults if fault.status == error.status), faults[0])
    if error.status == MALFORMED or (error.status == TOO_LARGE and count == 1):
        detail = telling.detail
    else:
        words = {INVALID: "is wrong", UNSUPPORTED: "is not served", TOO_LARGE: "is too large"}[error.status]
        detail = f"{telling.pointer or 'the request'} {words}: {telling.detail}"
        if count > 1:
            detail += f" (and {count - 1} more; errors lists " + ("all)" if count <= MAX_ERRORS else f"{MAX_ERRORS})")
    errors = [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults[:MAX_ERRORS]]
    return problem(error.status, detail, instance, None if error.status == MALFORMED else errors)
