"""The service as the command speaks to it: calls that are made again until they are answered, and its refusals."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from service.evaluate.faults import Failed

PASSING: Final = frozenset({408, 425, 429, 502, 503, 504})
"""Statuses that say nothing against the request: later it may be taken."""
FIRST_WAIT: Final = 0.25
LONGEST_WAIT: Final = 30.0
"""Seconds between two tries: at random up to a bound that doubles."""
MOST_SHOWN: Final = 5
KEY: Final = "; the API key is that of GRADWIRE_API_KEY or --api-key"


class Refused(Failed):
    """An answer that no repetition will change; `problem` is its document, as far as it is one."""

    def __init__(self, status: int, problem: Mapping[str, Any], call: str) -> None:
        self.status = status
        self.problem = problem
        detail = problem.get("detail") or problem.get("title") or "without a word"
        told = f"{call}: {status}: " + ("; ".join(self.listed()) or str(detail))
        super().__init__(told + (KEY if status in (401, 403) else ""))

    @property
    def errors(self) -> list[tuple[str, str]]:
        """What is wrong, as JSON pointers and sentences."""
        found = self.problem.get("errors")
        listed = found if isinstance(found, list) else []
        return [(str(one.get("pointer", "")), str(one.get("detail", ""))) for one in listed if isinstance(one, dict)]

    def listed(self) -> list[str]:
        """The first of what is wrong, in a sentence each."""
        told = [f"{pointer}: {detail}" if pointer else detail for pointer, detail in self.errors[:MOST_SHOWN]]
        more = len(self.errors) - MOST_SHOWN
        return [*told, f"and {more} more"] if more > 0 else told


class Service:
    """Calls of the service through a client of httpx. `patience`: seconds that a call is tried for."""

    def __init__(self, client: httpx.AsyncClient, patience: float) -> None:
        self._client = client
        self._patience = patience

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer, once there is one. Raises `Refused`, or `Failed` where patience is at its end."""
        began = time.monotonic()
        tries = 0
        while True:
            response: httpx.Response | None = None
            try:
                response = await self._client.request(
                    method, path, params=params, json=json, content=content, headers=headers
                )
            except httpx.TransportError as error:
                reason = f"{self._client.base_url} cannot be reached: {type(error).__name__}: {error}".removesuffix(
                    ": "
                )
            else:
                if response.status_code < 300:
                    return response
                refused = Refused(response.status_code, _problem(response), f"{method} {path}")
                if response.status_code not in PASSING:
                    raise refused
                reason = str(refused)
            asked, some = _asked(response), random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**tries))  # noqa: S311 - no secret
            tries += 1
            gone = time.monotonic() - began
            left = self._patience - gone
            if left <= 0 or asked > left:
                raise Failed(f"{reason} ({tries} {'try' if tries == 1 else 'tries'} in {gone:.0f} s)") from None
            # The last try comes when patience ends, however long the wait drawn was.
            await asyncio.sleep(max(asked, min(some, left)))


def _asked(response: httpx.Response | None) -> float:
    """The seconds that `Retry-After` asks for, as a number or a date."""
    told = response.headers.get("retry-after", "") if response is not None else ""
    if told.isdigit():
        return float(told)
    try:
        return max((parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return 0.0


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"detail": response.text[:200] or response.reason_phrase}
