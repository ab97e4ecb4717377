"""What an evaluation run needs of a loss: its unreduced values, and what each adds to `mean`'s divisor."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import BaseModel
from pydantic.json_schema import SkipJsonSchema

from schemas.dims import numel
from schemas.operation import Operation, OperationAnswer
from schemas.request import LossRequest


class Unreduced(Operation):
    """The unreduced loss of a checked request, without any gradient; made by `of`, never by validation.

    Its answer has `values` in the unreduced loss's shape, and where the formula has them `shares` and `sizes` in the
    same (`service.losses.Terms`); all in float64, or the request's own type where that is narrower.
    """

    name: ClassVar[str] = "unreduced"
    answer: ClassVar[type[BaseModel]] = OperationAnswer

    request: SkipJsonSchema[LossRequest]

    @classmethod
    def of(cls, request: LossRequest) -> Unreduced:
        """The operation for a request; it counts as that does."""
        made = cls.model_construct(request=request)
        made.__dict__["checked"] = replace(request.checked, key=None)  # never stacked
        return made

    @property
    def workspace(self) -> int:  # type: ignore[override] # what its request's class says
        """As computing the loss takes."""
        return self.request.workspace

    def numbers(self) -> int:
        """Values, shares and sizes."""
        return 3 * numel(self.request.checked.layout.unreduced)
