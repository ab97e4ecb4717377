"""The OpenAPI document: what FastAPI makes of the routes, put right where callers' generators need it."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from schemas.losses import LOSSES
from schemas.operations import OPERATIONS
from schemas.problem import Problem
from service.http.access import PUBLIC
from service.http.compute_route import ComputeRoute
from service.http.problems import problem
from service.wire.safetensors import MEDIA_TYPE

DESCRIPTION = """\
Losses and their gradients over HTTP for callers in any language: PyTorch's, exactly, and what other fields and
libraries have besides. Also formulas of your own (`expression`, `composite`), Hessian-vector products (`/v1/hvp`),
checks of other implementations (`/v1/check`), test vectors (`/v1/losses/{name}/vectors`), and what stands around a
loss: activations, class weights, divergences, optimizer steps. `/v1/evaluations` adds up the loss of a whole data set.

`POST /v1/loss` takes a loss's name, its tensors and its options, and answers the loss and its gradients; each loss has
an operation of its own at `POST /v1/losses/{name}` as well. Bodies are JSON or, many times as fast for large tensors,
safetensors; the answer's form follows `Accept`, and is the request's own if that leaves it open. `Content-Encoding` and
`Accept-Encoding` may be gzip, deflate or zstd. `X-Request-Timeout-Ms` says for how many milliseconds an answer is worth
waiting for: 504 afterwards. `GET /v1/losses` is the catalogue. Every error is a problem
document (RFC 9457); a bad request's lists all faults with JSON pointers. Every answer of an operation has
`X-Request-ID` and `Server-Timing`.

Beside what an operation lists, any path may answer 404 (nothing is there) and 405 (with `Allow`).

Before any operation, what no operation could serve is refused, and its connection ended: 400 (no HTTP, or its length or
`Host` is ambiguous), 408 (the head or the body came too slowly), 414 (the target is too long), 417 (an expectation
other than `100-continue`), 431 (the head is too large), 501 (a transfer coding other than `chunked`, or `CONNECT`), 503
(too many connections; with `Retry-After`) and 505 (neither HTTP/1.1 nor HTTP/1.0). These too are problem documents with
`X-Request-ID`.
"""

BINARY_REQUEST = (
    "A safetensors file. Its tensors bear the members' names (`tail.0.output` lies in the list `tail`); all other "
    "members are one JSON object in the text `request` of `__metadata__`."
)
BINARY_ANSWER = (
    "A safetensors file with the tensors `loss` and `gradients.<name>`; all else is one JSON object in the text "
    "`result` of `__metadata__`."
)
BINARY_OPERATION = (
    "A safetensors file. Its tensors are named by where they stand in the request (`input`, "
    "`parameters.layer1.weight`); all other members are one JSON object in the text `request` of `__metadata__`."
)
BINARY_OPERATED = (
    "A safetensors file. Its tensors are named by where they stand in the answer; all else is one JSON object in the "
    "text `result` of `__metadata__`."
)
BINARY_CALL = (
    "A safetensors file. Its tensors are named by a request's position and a member (`0.input`, `17.target`); the text "
    "`request` of `__metadata__` is the JSON object with the list `requests`, without their tensors."
)
BINARY_BATCH = (
    "A safetensors file. Its tensors bear the members' names, with many batches behind their position (`0.input`, "
    "`1.input`); `batch_id`, `sample_ids` and `groups` are in one JSON object in the text `request` of `__metadata__`."
)
BINARY_RESULTS = (
    "A safetensors file with the tensors `<position>.loss` and `<position>.gradients.<name>`; the text `result` of "
    "`__metadata__` is the JSON object with the list `results`, without their tensors."
)

_WHEN = {
    400: "The body is no JSON object, nested too deep, no sound safetensors, or its compression is broken.",
    401: "No API key, or none that is valid, where callers need one.",
    403: "The API key lacks the scope for this.",
    406: "`Accept` or `Accept-Encoding` allows no form that the answer could have.",
    408: "The body stood still or came too slowly; the connection ends.",
    413: "The body or its elements are beyond the limits.",
    415: "A `Content-Type`, `Content-Encoding` or tensor dtype that is not served.",
    422: "Well-formed but invalid: `errors` lists every fault.",
    429: "Over a quota of the API key, or more than the service takes now; `Retry-After` tells when to try again.",
    500: "An internal error.",
    503: "The service is stopping or not ready, the computation was broken off, or the device has no room for it now.",
    504: "The deadline passed: that of `X-Request-Timeout-Ms`, or the server's own.",
}
_EXAMPLES = {
    400: problem(400, "the body is no JSON: unexpected character (line 1, column 1)", "/v1/loss"),
    401: problem(401, "an API key is needed: send it as Authorization: Bearer <key>", "/v1/loss"),
    403: problem(403, "the API key lacks the scope compute; it has read", "/v1/loss"),
    406: problem(
        406, "the answer is application/json or application/vnd.safetensors, which Accept does not allow", "/v1/loss"
    ),
    408: problem(
        408,
        "of the body, nothing came for 20 seconds, or came with less than 4096 bytes a second",
        "/v1/loss",
    ),
    413: problem(413, "the body is larger than 67108864 bytes", "/v1/loss"),
    415: problem(
        415, "Content-Type text/plain is not served; send application/json or application/vnd.safetensors", "/v1/loss"
    ),
    422: problem(
        422,
        "/target/1 is wrong: class index 7 is outside [0, 3)",
        "/v1/loss",
        [{"pointer": "/target/1", "detail": "class index 7 is outside [0, 3)"}],
    ),
    429: problem(429, "over this key's quota of 50 requests a second, 50 at once; try again in 1 s", "/v1/loss"),
    500: problem(500, "an internal error; the log has it under this request's id", "/v1/loss"),
    503: problem(503, "the service is stopping or not ready", "/v1/loss"),
    504: problem(504, "the deadline passed before the answer was there", "/v1/loss"),
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": when,
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": _EXAMPLES[status],
            }
        },
    }
    for status, when in _WHEN.items()
}
_ANYWHERE = (401, 403, 406, 429, 500, 503)
"""What every operation may answer; the probes for health need no key and have no quota."""
_HEADERS: dict[str, dict[str, Any]] = {
    "RequestID": {
        "description": "The request's id: the caller's own `X-Request-ID` where that can be one, else a new one.",
        "schema": {"type": "string"},
    },
    "ServerTiming": {
        "description": "Milliseconds that the steps took: `decode`, `queue`, `compute`, `encode`, or the `total`.",
        "schema": {"type": "string"},
    },
    "Location": {"description": "The path of what was made.", "schema": {"type": "string"}},
    "RetryAfter": {"description": "Seconds after which to ask again.", "schema": {"type": "integer", "minimum": 0}},
}
# A family is described by the module that it is named after.
_FAMILIES = {cls.about.family: f"schemas.losses.{cls.about.family}" for cls in LOSSES.values()}
_KINDS = {cls.family: cls.__module__ for cls in OPERATIONS.values()}
TAGS: list[dict[str, Any]] = [
    {"name": "any loss", "description": "Every loss at one path: the request names it."},
    *({"name": name, "description": inspect.getdoc(sys.modules[module])} for name, module in sorted(_FAMILIES.items())),
    *({"name": name, "description": inspect.getdoc(sys.modules[module])} for name, module in sorted(_KINDS.items())),
    {
        "name": "evaluations",
        "description": "A whole data set's loss: batches from any number of senders, in any order, added up exactly; "
        "reports, comparisons, progress.",
    },
    {"name": "catalogue", "description": "What there is: formulas, tensors, options, examples."},
    {
        "name": "open inference protocol",
        "description": "Every loss as a model, for clients of KServe v2 and Triton: inputs are its tensors, parameters "
        "its options, outputs the loss and its gradients.",
    },
    {"name": "operations", "description": "Limits and health."},
]


def describe(app: FastAPI) -> None:
    """Make `app.openapi()` answer the finished document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _finish(_made(app))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # the way that FastAPI's documents give


def _made(app: FastAPI) -> dict[str, Any]:
    """What FastAPI makes of the routes."""
    routes: list[BaseRoute] = []
    for route in app.routes:
        if not isinstance(route, ComputeRoute):
            routes.append(route)
        elif route.documented is not None:
            routes.append(route.documented())
    return get_openapi(
        title=app.title,
        version=app.version,
        openapi_version=app.openapi_version,
        description=app.description,
        license_info=app.license_info,
        routes=routes,
        tags=app.openapi_tags,
    )


def _finish(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    told = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update({**told.pop("$defs"), "Problem": told})
    document["components"]["headers"] = _HEADERS
    for path, item in document["paths"].items():
        for operation in item.values():
            operation["responses"] = _complete(path, operation["responses"])
    loss = document["paths"]["/v1/loss"]["post"]["requestBody"]["content"]["application/json"]
    # There the discriminator must be given; a loss's own operation does without it. A component has a name of its own
    # in generated clients.
    schemas["AnyLoss"] = {**loss["schema"], "title": "AnyLoss", "required": ["loss"]}
    loss["schema"] = {"$ref": "#/components/schemas/AnyLoss"}
    for path, item in document["paths"].items():
        if path == "/v1/loss/batch":
            _offer_binary(item["post"], BINARY_CALL, BINARY_RESULTS)
        elif "post" in item and (path == "/v1/loss" or path.startswith("/v1/losses/")):
            _offer_binary(item["post"], BINARY_REQUEST, BINARY_ANSWER)
    _take_binary(document["paths"]["/v1/evaluations/{id}/batches"]["post"], BINARY_BATCH)
    for cls in OPERATIONS.values():
        _offer_binary(document["paths"][cls.path]["post"], BINARY_OPERATION, BINARY_OPERATED)
    _double(schemas)
    _secure(document)
    return document


def _complete(path: str, responses: dict[str, Any]) -> dict[str, Any]:
    """An operation's responses: those that it tells of and those of every operation, with their headers."""
    # FastAPI's own 422, which this service never answers.
    if "422" in responses and "application/problem+json" not in responses["422"]["content"]:
        del responses["422"]
    for status in _ANYWHERE:
        # Where Triton's client reads, no coding is refused; a probe is answered whoever asks.
        known = status in (406, 500) if path in PUBLIC else True
        if known and not (status == 406 and path.startswith("/v2")):
            responses.setdefault(str(status), PROBLEMS[status])
    found = {}
    for code, response in sorted(responses.items()):
        headers = {"X-Request-ID": "RequestID", "Server-Timing": "ServerTiming"}
        if code in ("429", "503"):
            headers["Retry-After"] = "RetryAfter"
        told = {name: {"$ref": f"#/components/headers/{component}"} for name, component in headers.items()}
        found[code] = {**response, "headers": {**response.get("headers", {}), **told}}
    return found


def _secure(document: dict[str, Any]) -> None:
    """Tell of the API key, which not every service asks for: clients may be made with and without one."""
    document["components"]["securitySchemes"] = {
        "api_key": {"type": "http", "scheme": "bearer", "description": "An API key, where the service asks for one."}
    }
    document["security"] = [{}, {"api_key": []}]
    for path, item in document["paths"].items():
        for operation in item.values():
            if path in PUBLIC:
                operation["security"] = []


def _offer_binary(operation: dict[str, Any], request: str, result: str) -> None:
    """Name the binary form beside JSON, behind it: generators take the first form that they find."""
    _take_binary(operation, request)
    answer = {"schema": {"type": "string", "format": "binary", "description": result}}
    operation["responses"]["200"]["content"][MEDIA_TYPE] = answer


def _take_binary(operation: dict[str, Any], request: str) -> None:
    body = {"schema": {"type": "string", "format": "binary", "description": request}}
    operation["requestBody"]["content"][MEDIA_TYPE] = body


def _double(schemas: dict[str, Any]) -> None:
    """Say that numbers are doubles: generated clients take 32 bits (Go) or decimals (C#, Java) otherwise."""
    for schema in schemas.values():
        for entry in schema.get("properties", {}).values():
            for kind in (entry, *entry.get("anyOf", ())):
                if kind.get("type") == "number":
                    kind["format"] = "double"
