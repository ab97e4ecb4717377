"""The operations' routes: FastAPI documents them from their classes, `Computing` serves them."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi.routing import APIRoute

from schemas.operation import Operation
from service.http.compute_route import ComputeRoute
from service.http.openapi import PROBLEMS


def operation_route(cls: type[Operation]) -> ComputeRoute:
    """One operation's route."""
    return ComputeRoute(cls.path, partial(_documented, cls))


def _documented(cls: type[Operation]) -> APIRoute:

    async def operation(request: Any) -> Any:
        """Only a signature."""

    operation.__annotations__ = {"request": cls, "return": cls.answer}
    summary, _, _ = (cls.__doc__ or "").strip().partition("\n")
    return APIRoute(
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
