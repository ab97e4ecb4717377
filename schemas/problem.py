"""Problem details (RFC 9457), and the faults of a request that they list."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

MALFORMED, UNSUPPORTED, TOO_LARGE, INVALID = 400, 415, 413, 422


class Fault(NamedTuple):
    """One thing wrong with a request: where (JSON pointer, RFC 6901), what, and the HTTP status that it means."""

    pointer: str
    detail: str
    status: int = INVALID


class InvalidRequest(Exception):
    """A request with faults: all of them, in the order in which they were found, and its loss where that is known."""

    def __init__(self, faults: list[Fault], loss: str | None = None) -> None:
        super().__init__("; ".join(f"{fault.pointer or '/'}: {fault.detail}" for fault in faults[:8]))
        self.faults = faults
        self.loss = loss

    @property
    def status(self) -> int:
        """The one status for all faults: too large, else an unsupported type, else malformed, else invalid."""
        found = {fault.status for fault in self.faults}
        return next((status for status in (TOO_LARGE, UNSUPPORTED, MALFORMED) if status in found), INVALID)


def pointer(*parts: str | int) -> str:
    """The JSON pointer of a path: `pointer("target", 3)` is `/target/3`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


class Entry(str):
    """The name of a tensor in an object of tensors whose names the caller chose: `state.layer1.weight.exp_avg`.

    Only its first dot parts a path.
    """

    __slots__ = ()


def place(name: str, *within: str | int) -> str:
    """The JSON pointer of a tensor by its name, or of a spot in it: `tail.0.output` is `/tail/0/output`."""
    path = name.split(".", 1) if type(name) is Entry else name.split(".")
    return pointer(*path, *within)


class ProblemError(BaseModel):
    """One fault of the request."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the request.", examples=["/target/3"])
    detail: str = Field(description="What is wrong there.", examples=["class index 7 is outside [0, 5)"])


class Problem(BaseModel):
    """An error, as RFC 9457 writes it (`application/problem+json`)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Unprocessable Content",
                "status": 422,
                "detail": "/target/3 is wrong: class index 7 is outside [0, 5)",
                "instance": "/v1/loss",
                "errors": [{"pointer": "/target/3", "detail": "class index 7 is outside [0, 5)"}],
            }
        }
    )

    type: str = Field(
        "about:blank", description="A URI that names the kind of problem; about:blank: the status says it."
    )
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status code.")
    detail: str = Field(description="What happened this time.")
    instance: str = Field(description="The path that was asked for.")
    error: str = Field(
        "", description="`detail` again, under `/v2` alone: where clients of the Open Inference Protocol look."
    )
    errors: list[ProblemError] = Field(
        default_factory=list, description="Every fault of a bad request, at most 256 of them."
    )
