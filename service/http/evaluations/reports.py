"""Reports and comparisons, in the form that is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from starlette.responses import Response
from starlette.types import Receive, Scope

from service.evaluations.refusals import NoSuchRun
from service.http.body import combined
from service.http.evaluations.runs import told
from service.http.evaluations.turns import Turns
from service.http.negotiation import preferred
from service.http.problems import HTTPProblem
from service.wire import plain

if TYPE_CHECKING:
    from service.evaluations.evaluations import Evaluations

Format = Literal["json", "html", "csv", "markdown"]

MEDIA: Final[Mapping[Format, str]] = {
    "json": "application/json",
    "html": "text/html",
    "csv": "text/csv",
    "markdown": "text/markdown",
}
FORMATS: Final = {media: {"schema": {"type": "string"}} for name, media in MEDIA.items() if name != "json"}
"""What OpenAPI tells of the forms beside JSON."""
PAGE: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
"""The content security policy of a report's page, which has its style in itself and runs no script."""


def negotiated(asked: Format | None, scope: Scope) -> Format:
    """The form of a report: the one that is asked for, or else what `Accept` wants most. Raises `HTTPProblem` 406."""
    if asked is not None:
        return asked
    accept = combined(scope["headers"]).get(b"accept")
    media = preferred(accept, tuple(MEDIA.values()))
    return next(name for name in get_args(Format) if MEDIA[name] == media)


async def report(
    turns: Turns, receive: Receive, evaluations: Evaluations, run_id: str, owner: str | None, wanted: Format
) -> Response:
    """All that a run's batches tell; a sealed run's is made once for each form. Raises what `Turns.take` raises."""
    run = await evaluations.get(run_id, owner)
    key = (run_id, wanted, run.updated_at)
    kept = turns.kept(key)
    if kept is not None:
        return kept
    made = await turns.take(lambda: _report(turns, evaluations, run_id, owner, wanted), receive)
    if run.state == "sealed":
        turns.keep(key, made)
    return made


async def _report(turns: Turns, evaluations: Evaluations, run_id: str, owner: str | None, wanted: Format) -> Response:
    from service.evaluations.bootstrap import bootstrap  # noqa: PLC0415 - evaluations are loaded at first use

    run, tally = await evaluations.tally(run_id, owner)
    results = await turns.aside(tally.results)
    results["bootstrap"] = (
        await bootstrap(
            evaluations.samples(run_id, run.seq),
            reduction=run.spec.reduction,
            level=run.spec.confidence,
            aside=turns.aside,
        )
        if math.isfinite(results["loss"])
        else None
    )
    results["series"] = await evaluations.series(run_id, through=run.seq)
    name = f"evaluation-{run_id}"
    return await turns.aside(lambda: _written({"evaluation": told(run), "results": results}, wanted, name))


async def comparison(
    turns: Turns, receive: Receive, evaluations: Evaluations, run_id: str, other: str, owner: str | None, wanted: Format
) -> Response:
    """How a run differs from another one over the samples of both.

    Raises `HTTPProblem` 409 where it cannot be told, and what `Turns.take` raises.
    """
    return await turns.take(lambda: _comparison(turns, evaluations, run_id, other, owner, wanted), receive)


async def _comparison(
    turns: Turns, evaluations: Evaluations, run_id: str, other: str, owner: str | None, wanted: Format
) -> Response:
    from service.evaluations.comparison import NotComparable, compare  # noqa: PLC0415 - as above

    run = await evaluations.get(run_id, owner)
    try:
        base = await evaluations.get(other, owner)
    except NoSuchRun:
        raise HTTPProblem(404, f"there is no evaluation {other[:40]!r} to compare with") from None
    try:
        results = await compare(base, run, evaluations.samples, turns.aside)
    except NotComparable as error:
        raise HTTPProblem(409, f"the evaluations cannot be compared: {error}") from None
    name = f"comparison-{run_id}-{other}"
    return await turns.aside(
        lambda: _written({"first": told(base), "second": told(run), "comparison": results}, wanted, name)
    )


def _written(made: dict[str, Any], wanted: Format, name: str) -> Response:
    headers = {"vary": "accept"}
    if wanted == "json":
        return Response(plain.dumps(made), headers=headers, media_type=MEDIA["json"])
    from service.evaluations.report.write import MEDIA_TYPES, write  # noqa: PLC0415 - loads what draws plots

    if wanted == "html":
        headers["content-security-policy"] = PAGE
    elif wanted == "csv":
        headers["content-disposition"] = f'attachment; filename="{name}.csv"'
    headers["content-type"] = MEDIA_TYPES[wanted]
    return Response(write(made, wanted), headers=headers)
