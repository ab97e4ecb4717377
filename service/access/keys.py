"""The record of an API key: whose it is, what it may do, how much, and until when."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

Scope = Literal["compute", "read", "metrics"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def _moment(value: Any) -> Any:
    """A date means its first moment in UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


Rate = Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
Burst = Annotated[int, Field(ge=1, le=10**15)]


class Key(BaseModel):
    """A key's record. What its holder shows is not in it: only the SHA-256 of that."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=NAME)] = Field(description="Whose key it is; logs tell it.")
    id: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{12}$")] = Field(description="The key's public part.")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the whole key, in hexadecimal digits."
    )
    scopes: frozenset[Scope] = Field(description="What it may be used for.", min_length=1)
    requests_per_second: Rate | None = Field(None, description="Requests a second in the long run; absent: any number.")
    requests_burst: Burst | None = Field(
        None, description="Requests that may come at once; absent: those of one second."
    )
    elements_per_second: Rate | None = Field(None, description="Elements a second in the long run; absent: any number.")
    elements_burst: Burst | None = Field(
        None, description="Elements that may come at once; absent: those of one second."
    )
    expires: Annotated[AwareDatetime, BeforeValidator(_moment)] | None = Field(
        None, description="The moment from which it is refused; of a date, its first in UTC; absent: never."
    )
    disabled: bool = Field(False, description="Whether it is refused, though it stays listed.")

    @model_validator(mode="after")
    def _rates(self) -> Self:
        for what in ("requests", "elements"):
            if getattr(self, f"{what}_burst") is not None and getattr(self, f"{what}_per_second") is None:
                raise ValueError(f"{what}_burst says nothing without {what}_per_second")
        return self
