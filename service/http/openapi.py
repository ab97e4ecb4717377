"""The OpenAPI document: what FastAPI makes of the routes, put right where callers' generators need it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

DESCRIPTION = """\
Losses and their gradients over HTTP, exactly PyTorch's, for callers in any language.

`POST /v1/loss` takes a loss's name, its tensors and its options, and answers the loss and its gradients; each loss has
an operation of its own at `POST /v1/losses/{name}` as well. `GET /v1/losses` is the catalogue. Every error is a problem
document (RFC 9457); a bad request's lists all faults with JSON pointers. Every answer has `X-Request-ID`, computed
ones `Server-Timing` too.
"""

_WHEN = {
    400: "The body is no JSON object, or nested too deep.",
    406: "`Accept` does not allow the answer's type.",
    413: "The body or its elements are beyond the limits.",
    415: "A `Content-Type`, `Content-Encoding` or tensor dtype that is not served.",
    422: "Well-formed but invalid: `errors` lists every fault.",
    500: "An internal error.",
    503: "The service is stopping or not ready.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": when,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, when in _WHEN.items()
}


def describe(app: FastAPI) -> None:
    """Make `app.openapi()` answer the finished document."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _finish(made())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # the way that FastAPI's documents give


def _finish(document: dict[str, Any]) -> dict[str, Any]:
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    for path in document["paths"].values():
        for operation in path.values():
            # FastAPI's own 422, which this service never answers.
            told = operation["responses"].get("422")
            if told and "application/problem+json" not in told["content"]:
                del operation["responses"]["422"]
    loss = document["paths"]["/v1/loss"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    # There the discriminator must be given; a loss's own operation does without it.
    loss["required"] = ["loss"]
    return document
