"""The tensors of a request, wherever they lie in it, by the names that gradients have."""

from __future__ import annotations

from typing import Any

Request = dict[str, Any]


def named(request: Request) -> Request:
    """The tensors that the caller named, with the names that inputs have: `tensors.x`."""
    return {f"tensors.{name}": value for name, value in request.get("tensors", {}).items()}


def tensor(request: Request, name: str) -> Any:
    """One tensor."""
    return request["tensors"][name] if "tensors" in request else request[name]


def with_tensor(request: Request, name: str, value: Any) -> Request:
    """The same request with another tensor of that name."""
    if "tensors" in request:
        return {**request, "tensors": {**request["tensors"], name: value}}
    return {**request, name: value}
