"""Who may call: `Authorization: Bearer <key>` (RFC 6750), what its scopes open, and what its quotas allow.

Everything needs a key, where keys are on, but what `PUBLIC` lists. A refusal is raised before the body is read.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from time import monotonic, time
from typing import Final

from starlette.types import Scope

from service.access import Account, Caller, Denied, Exhausted, FaultyKeys, Gate, Keyring, Ledger, Quota, Standing
from service.access import Scope as Permission
from service.access.account import ELEMENTS, REQUESTS
from service.access.ledger import QUOTAS
from service.http.body import aside
from service.http.problems import HTTPProblem
from service.http.rate_limit import Policy, in_words, standing
from service.settings import Settings

log = logging.getLogger("gradwire.keys")

PUBLIC: Final = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""What those ask that start, stop and watch the service; it tells nothing of anyone's data."""
CHANGING: Final = frozenset({"PATCH", "DELETE"})
RUNS: Final = "/v1/evaluations/"
"""What is changed by other methods than POST."""
READING_POSTS: Final = frozenset({"/v2/repository/index"})
CHECK_SECONDS: Final = 2.0
"""How often the file of keys is looked at: one call of the system."""


CHALLENGE: Final = 'Bearer realm="gradwire"'
WHY: Final = {
    "misspelt": "the API key is misspelt or incomplete",
    "unknown": "the API key is not known here",
    "expired": "the API key has expired",
    "disabled": "the API key is disabled",
}


UNAUTHORIZED, FORBIDDEN, QUOTA = "unauthorized", "forbidden", "quota"
refused: Counter[str] = Counter(dict.fromkeys((UNAUTHORIZED, FORBIDDEN, QUOTA), 0))
"""Requests that were not let in, by why."""


class Access:
    """Lets callers in, or refuses them; follows the file of keys."""

    def __init__(self, keyring: Keyring, ledger: Ledger, *, public_docs: bool) -> None:
        """Raises `FaultyKeys`."""
        self._keyring = keyring
        self._ledger = ledger
        self._gate = Gate(keyring.load(), ledger)
        self._public_docs = public_docs
        self._reloading: asyncio.Task[None] | None = None

    def admit(self, scope: Scope) -> None:
        """Note who calls, in `gradwire.caller`. Raises `HTTPProblem` 400, 401, 403 and 429."""
        path: str = scope["path"]
        if path in PUBLIC or (self._public_docs and (path in ("/docs", "/openapi.json") or path.startswith("/docs/"))):
            return
        caller = self._caller(scope)
        scope["gradwire.caller"] = caller.name
        needed = permission(scope["method"], path)
        if needed not in caller.scopes:
            refused[FORBIDDEN] += 1
            raise HTTPProblem(
                403,
                f"the API key lacks the scope {needed}; it has {', '.join(sorted(caller.scopes))}",
                {"www-authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{needed}"'},
            )
        account = caller.account
        if account is not None:
            scope["gradwire.account"] = account
            now = monotonic()
            try:
                tell(scope, account, account.take_request(now, computes=needed == "compute"))
            except Exhausted as error:
                raise exhausted(scope, account, error, now) from None

    def _caller(self, scope: Scope) -> Caller:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given:
            raise _unauthorized("an API key is needed: send it as Authorization: Bearer <key>")
        if len(given) > 1:
            refused[UNAUTHORIZED] += 1
            raise HTTPProblem(
                400,
                "Authorization was sent more than once",
                {"www-authenticate": f'{CHALLENGE}, error="invalid_request"'},
            )
        scheme, _, token = given[0].partition(b" ")
        if scheme != b"Bearer" and scheme.lower() != b"bearer":
            raise _unauthorized("Authorization must be of the form Bearer <key>")
        try:
            return self._gate.enter(token.strip(b" "), time())
        except Denied as error:
            if error.name is not None:
                scope["gradwire.caller"] = error.name
            raise _unauthorized(WHY[error.reason], "invalid_token") from None

    def reload(self) -> None:
        """Read the keys again, soon; what cannot be read leaves the former ones in force."""
        if self._reloading is None:
            self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        try:
            self._gate.replace(await aside(self._keyring.load))
        except FaultyKeys as error:
            log.error("API keys were not read again; the former ones stay in force: %s", error)  # noqa: TRY400 # the reason says all
        else:
            log.info("API keys were read again", extra={"keys": len(self._gate)})
        finally:
            self._reloading = None

    @contextmanager
    def following(self) -> Iterator[None]:
        """Reload when the file changes, and on SIGHUP; on a running event loop."""
        loop = asyncio.get_running_loop()

        async def look() -> None:
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                if self._keyring.changed():
                    self.reload()

        looking = loop.create_task(look())
        told = threading.current_thread() is threading.main_thread()  # the only one that signals come to
        before = signal.getsignal(signal.SIGHUP)
        if told:
            loop.add_signal_handler(signal.SIGHUP, self.reload)
        try:
            yield
        finally:
            looking.cancel()
            if told:
                loop.remove_signal_handler(signal.SIGHUP)
                signal.signal(signal.SIGHUP, before)  # the loop leaves it as what ends the process
            if self._reloading is not None:
                self._reloading.cancel()
            self._ledger.close()


def open_access(settings: Settings) -> Access | None:
    """The access that the settings ask for; `None`: all may call. Raises `FaultyKeys`."""
    keyring = Keyring.of(settings.api_keys_file, settings.api_keys)
    if keyring is None:
        return None
    quotas = os.environ.get(QUOTAS)
    ledger = Ledger.private() if quotas is None else Ledger.shared(Path(quotas))
    return Access(keyring, ledger, public_docs=settings.public_docs)


def permission(method: str, path: str) -> Permission:
    """The scope that a request needs."""
    if (method == "POST" and path not in READING_POSTS) or (method in CHANGING and path.startswith(RUNS)):
        return "compute"
    return "metrics" if path == "/metrics" else "read"


def charge(scope: Scope, elements: int) -> None:
    """Take the elements that a request needs from its caller's quota. Raises `HTTPProblem` 429."""
    account: Account | None = scope.get("gradwire.account")
    if account is None or account.elements is None:
        return
    now = monotonic()
    try:
        tell(scope, account, account.take_elements(elements, now))
    except Exhausted as error:
        raise exhausted(scope, account, error, now) from None


def exhausted(scope: Scope, account: Account, error: Exhausted, now: float) -> HTTPProblem:
    """The refusal of what a quota does not allow."""
    tell(scope, account, account.standings(now))
    refused[QUOTA] += 1
    seconds = max(math.ceil(error.wait), 1)
    allowed = f"{error.quota.rate:.15g} {error.counted} a second, {error.quota.burst:.15g} at once"
    return HTTPProblem(
        429, f"over this key's quota of {allowed}; try again in {seconds} s", {"retry-after": str(seconds)}
    )


def tell(scope: Scope, account: Account, standings: tuple[Standing | None, Standing | None]) -> None:
    """Have the answer tell what is left of the quotas."""
    requests, elements = standings
    told = []
    if requests is not None:
        told.append(standing(REQUESTS, requests.left, math.ceil(requests.full_in)))
    if elements is not None:
        told.append(standing(ELEMENTS, elements.left, math.ceil(elements.full_in)))
    fields: dict[bytes, bytes] = scope.setdefault("gradwire.fields", {})
    fields[b"ratelimit-policy"] = policies(account.requests, account.elements)
    fields[b"ratelimit"] = ", ".join(told).encode()


@lru_cache(maxsize=4096)
def policies(requests: Quota | None, elements: Quota | None) -> bytes:
    """The quotas as `RateLimit-Policy` tells them."""
    told = []
    if requests is not None:
        told.append(in_words(Policy(REQUESTS, int(requests.burst), math.ceil(requests.window))))
    if elements is not None:
        told.append(in_words(Policy(ELEMENTS, int(elements.burst), math.ceil(elements.window), ELEMENTS)))
    return ", ".join(told).encode()


def _unauthorized(detail: str, code: str | None = None) -> HTTPProblem:
    refused[UNAUTHORIZED] += 1
    challenge = CHALLENGE if code is None else f'{CHALLENGE}, error="{code}"'
    return HTTPProblem(401, detail, {"www-authenticate": challenge})
