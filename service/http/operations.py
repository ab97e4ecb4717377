"""The operations' routes: FastAPI documents them from their classes, `Computing` serves them."""

from __future__ import annotations

from typing import Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from schemas.operation import Operation
from service.http.openapi import PROBLEMS


class OperationRoute(APIRoute):
    """POSTs go to `Computing` by their path alone."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what is not POST."""
        raise HTTPException(405, headers={"allow": "POST"})


def operation_route(cls: type[Operation]) -> OperationRoute:
    """One operation's documentation."""

    async def operation(request: Any) -> Any:
        """Only a signature."""

    operation.__annotations__ = {"request": cls, "return": cls.answer}
    summary, _, _ = (cls.__doc__ or "").strip().partition("\n")
    return OperationRoute(
        cls.path,
        operation,
        methods=["POST"],
        response_model=cls.answer,
        operation_id=cls.name,
        name=cls.name,
        summary=summary,
        description=cls.description,
        tags=[cls.family],
        response_description="What was computed.",
        responses=PROBLEMS,
        openapi_extra={"requestBody": {"content": {"application/json": {"example": cls.example}}}},
    )
