"""`gradwire evaluate`: files of predictions and targets to one exact report."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from service.evaluate.evaluation import Asked
    from service.evaluate.thresholds import Threshold

EXAMPLE: Final = (
    "Example: `gradwire evaluate predictions.parquet --loss cross_entropy --input logits --target label "
    "--metric accuracy --report report.html --fail-if 'accuracy<0.9'`"
)

THRESHOLD_PASSED: Final = 1
MISUSED: Final = 2
FAILED: Final = 3
INTERRUPTED: Final = 130


def evaluate(
    files: Annotated[list[str], typer.Argument(help="Files or glob patterns: Parquet, Arrow, CSV, npz, npy, ....")],
    loss: Annotated[str | None, typer.Option(help="The loss, by name or alias; with --run, the run's.")] = None,
    input_: Annotated[str | None, typer.Option("--input", help="The column(s) of `input` [default: input].")] = None,
    target: Annotated[str | None, typer.Option(help="The column(s) of `target` [default: target].")] = None,
    tensor: Annotated[
        list[str] | None, typer.Option(help="Another tensor's column(s): `name=COLUMN`; may be repeated.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="An option of the loss: `label_smoothing=0.1`; may be repeated.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="A file with the tensor `weight` of all batches, or `name=FILE` for another tensor."),
    ] = None,
    reduction: Annotated[
        Literal["mean", "sum"] | None, typer.Option(help="What the loss of all samples is [default: mean].")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="The type that losses are computed in [default: float64].")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="A metric: `accuracy`, `top_k_accuracy:k=5`; may be repeated.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="How many classes, their names `a,b,c`, or a file with a name a line.")
    ] = None,
    ids: Annotated[str | None, typer.Option("--id", help="The column of the samples' ids.")] = None,
    group: Annotated[str | None, typer.Option(help="The column of the samples' groups.")] = None,
    name: Annotated[str | None, typer.Option(help="What people call the run.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="What the run is found by: `model=v7`; may be repeated.")
    ] = None,
    hardest: Annotated[
        int | None, typer.Option(min=0, help="How many samples of the largest loss are kept [default: 100].")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="The level of intervals, between 0 and 1 [default: 0.95].")
    ] = None,
    server: Annotated[
        str | None, typer.Option(envvar="GRADWIRE_SERVER", help="The server's URL [default: none; in this process].")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="The database of runs in this process [default: the configured one].")
    ] = None,
    api_key: Annotated[str | None, typer.Option(envvar="GRADWIRE_API_KEY", help="The server's API key.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Rows of a batch [default: 1024, fewer where rows are large].")
    ] = None,
    senders: Annotated[int, typer.Option(min=1, max=64, help="Batches in flight at once.")] = 4,
    wire: Annotated[Literal["safetensors", "json"], typer.Option(help="The form of batches.")] = "safetensors",
    patience: Annotated[
        float, typer.Option(min=0, help="How long a busy or unreachable server is tried for, in seconds.")
    ] = 300.0,
    report: Annotated[
        list[Path] | None, typer.Option(help="Write the report: `.html`, `.json`, `.csv` or `.md`; may be repeated.")
    ] = None,
    fail_above: Annotated[float | None, typer.Option(help="Exit with 1 where the loss is above this.")] = None,
    fail_if: Annotated[
        list[str] | None, typer.Option(help="Exit with 1 where this holds: `accuracy<0.9`; may be repeated.")
    ] = None,
    no_seal: Annotated[bool, typer.Option("--no-seal", help="Leave the run open for more batches.")] = False,
    run: Annotated[str | None, typer.Option(help="Add to this run in place of one of the command's own.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the run and its results as JSON.")] = False,
) -> None:
    """Evaluate predictions: send files to a run, and read its exact report.

    The same command again goes on where it was interrupted. Exits with 0; with 1 where a threshold is passed, 2 for
    wrong usage, 3 where the evaluation failed, 130 where it was interrupted (docs/evaluate.md).
    """
    from service.evaluate.faults import Failed, Misused
    from service.evaluate.files import found, tables
    from service.evaluate.options import (
        classes_of,
        level_of,
        metrics_of,
        none_of,
        one_of,
        options_of,
        pairs_of,
        reports_of,
        spec_of,
    )
    from service.evaluate.thresholds import parsed

    try:
        thresholds = [parsed(condition) for condition in fail_if or ()]
        if fail_above is not None:
            thresholds.insert(0, parsed(f"loss>{fail_above}"))
        reports = reports_of(report or [])
        one_of(server, database)
        level = None if confidence is None else level_of(confidence)
        named = classes_of(classes)
        columns = pairs_of(tensor, "--tensor")
        columns |= {key: value for key, value in (("input", input_), ("target", target)) if value is not None}
        if run is None:
            spec = spec_of(
                loss=loss,
                name=name,
                reduction=reduction,
                dtype=dtype,
                options=options_of(option, weights, named),
                metrics=metrics_of(metric, thresholds),
                classes=list(named) if named is not None else None,
                tags=pairs_of(tag, "--tag"),
                hardest=hardest,
                confidence=level,
            )
        else:
            none_of(
                {
                    "--option": option,
                    "--weights": weights,
                    "--reduction": reduction,
                    "--dtype": dtype,
                    "--metric": metric,
                    "--name": name,
                    "--tag": tag,
                    "--hardest": hardest,
                    "--confidence": confidence,
                }
            )
            spec = {}
        read = tables(found(files))
    except Misused as fault:
        _end(MISUSED, str(fault))
    except Failed as fault:
        _end(FAILED, str(fault))

    from service.evaluate.evaluation import Asked

    asked = Asked(
        tables=read,
        spec=spec,
        loss=loss,
        tensors=columns,
        ids=ids,
        group=group,
        classes=named,
        run=run,
        batch_size=batch_size,
        senders=senders,
        wire=wire,
        seal=not no_seal,
    )
    found_report = _run(asked, reports, server, database, api_key, patience, quiet)
    _shown(found_report, as_json)
    _judge(found_report["results"], thresholds)


def _run(
    asked: Asked,
    reports: dict[Path, str],
    server: str | None,
    database: str | None,
    api_key: str | None,
    patience: float,
    quiet: bool,
) -> dict[str, Any]:
    """The report, once all reports are written; ends the command where there is none."""
    from rich.console import Console

    from service.evaluate.clients import here, of_server
    from service.evaluate.evaluation import Evaluation
    from service.evaluate.faults import BadRows, Failed, Misused
    from service.evaluate.progress import Telling
    from service.evaluate.service import Service

    evaluation: Evaluation | None = None

    async def whole() -> dict[str, Any]:
        nonlocal evaluation
        with Telling(Console(stderr=True), quiet=quiet) as telling:
            telling.doing("starting")
            client_of = here(database) if server is None else of_server(server, api_key)
            async with client_of as client:
                evaluation = Evaluation(asked, Service(client, patience), telling)
                found = await evaluation.report()
                for path, form in reports.items():
                    text = await evaluation.written(form)
                    await asyncio.to_thread(path.write_bytes, text)
                return found

    try:
        return asyncio.run(whole())
    except Misused as fault:
        _end(MISUSED, str(fault))
    except Failed as fault:
        _end(FAILED, str(fault) + _resumable(evaluation, mended=isinstance(fault, BadRows)))
    except OSError as error:
        _end(FAILED, f"{error.filename or server or database}: {error.strerror or error}")
    except KeyboardInterrupt:
        _end(INTERRUPTED, "interrupted" + _resumable(evaluation))
    except Exception:  # noqa: BLE001 - the exit code 1 of Python's own would say that a threshold was passed
        traceback.print_exc()
        _end(FAILED, "this is a fault of gradwire" + _resumable(evaluation))


def _resumable(evaluation: Any, *, mended: bool = False) -> str:
    if evaluation is None or evaluation.run is None:
        return ""
    if mended:
        return (
            f"\ngradwire: what was sent is in run {evaluation.run}, and stays there: a mended file is another one, "
            "whose rows all count anew, so the command then makes a run of its own; with --run, take a new one"
        )
    return f"\ngradwire: what was sent is in run {evaluation.run}; the same command goes on from there"


def _shown(report: dict[str, Any], as_json: bool) -> None:
    from rich.console import Console

    from service.evaluate.figures import table

    if as_json:
        print(json.dumps(report, indent=2))
        return
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 200  # a line a figure, for those that read it
    console.print(table(report))


def _judge(results: dict[str, Any], thresholds: list[Threshold]) -> None:
    """Exit with 1 where a threshold is passed; else with 2 where one is on a figure that is not there."""
    from service.evaluate.faults import Misused

    passed, missing = [], []
    for threshold in thresholds:
        try:
            told = threshold.passed(results)
        except Misused as fault:
            missing.append(str(fault))
        else:
            passed += [told] if told is not None else []
    if passed or missing:
        _end(THRESHOLD_PASSED if passed else MISUSED, "\ngradwire: ".join(passed + missing))


def _end(code: int, message: str) -> NoReturn:
    print(f"gradwire: {message}", file=sys.stderr)
    raise typer.Exit(code)
