"""`GET /v1/losses/{name}/vectors`: requests with their answers, to test other implementations with."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from schemas.losses import resolve
from schemas.request import LossRequest
from schemas.vectors.answer import Vectors
from service.http.body import aside, combined
from service.http.negotiation import FORMS, JSON, SAFETENSORS, answer_form
from service.http.reference import PROBLEM, LossName, not_found
from service.vectors.files import Made

vectors_router = APIRouter()

BINARY: Final = (
    "A safetensors file: `<case>.request.<tensor>`, `<case>.expected.loss` and `<case>.expected.gradients.<tensor>`; "
    "all else is one JSON object in the text `vectors` of `__metadata__`."
)


class VectorFiles:
    """The files of the losses that were asked for: made once, one loss at a time, beside the event loop.

    There are two for each loss of the catalogue at most.
    """

    def __init__(self) -> None:
        self._files: dict[tuple[str, bytes], bytes] = {}
        self._turn = asyncio.Semaphore(1)

    async def file(self, cls: type[LossRequest], media_type: bytes) -> bytes:
        """A loss's file of that media type."""
        key = (cls.name, media_type)
        if key not in self._files:
            async with self._turn:
                if key not in self._files:
                    self._files |= await aside(_made, cls)
        return self._files[key]


def _made(cls: type[LossRequest]) -> dict[tuple[str, bytes], bytes]:
    made = Made(cls)
    return {
        (cls.name, JSON.media_type): made.as_json(),
        (cls.name, SAFETENSORS.media_type): made.as_safetensors(),
    }


@vectors_router.get(
    "/v1/losses/{name}/vectors",
    tags=["catalogue"],
    operation_id="get_vectors",
    summary="Test vectors of one loss",
    response_model=Vectors,
    responses={
        200: {
            "content": {
                SAFETENSORS.media_type.decode(): {
                    "schema": {"type": "string", "format": "binary", "description": BINARY}
                }
            }
        },
        404: {"description": "There is no such loss.", **PROBLEM},
    },
)
async def get_vectors(name: LossName, request: Request) -> Any:
    """Requests of every kind that the loss takes, with their answers: the same bytes whenever they are asked for.

    They are computed on the CPU. docs/vectors.md tells how to hold another implementation to them.
    """
    cls = resolve(name)
    if cls is None:
        raise not_found(name)
    form = answer_form(combined(request.scope["headers"]).get(b"accept"), JSON, FORMS)
    files: VectorFiles = request.app.state.vectors
    body = await files.file(cls, form.media_type)
    return Response(body, media_type=form.media_type.decode(), headers={"vary": "accept"})
