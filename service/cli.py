"""The command `gradwire`.

Commands import what they need themselves: torch takes seconds, in which a signal must be heeded already.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from service.database_commands import app as database
from service.evaluate_commands import EXAMPLE as EVALUATE
from service.evaluate_commands import evaluate
from service.key_commands import app as keys
from service.serving.early import collect_no_garbage, end_at_once_on_signals
from service.vector_commands import EXAMPLE, vectors

if TYPE_CHECKING:
    from schemas.catalogue import CatalogueEntry
    from service.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Losses and their gradients: over HTTP (`serve`) or right here (`loss`).",
)

app.add_typer(database, name="database")
app.add_typer(keys, name="keys")
app.command(epilog=EVALUATE)(evaluate)
app.command(epilog=EXAMPLE)(vectors)


def main() -> None:
    """Run the command."""
    if sys.argv[1:2] == ["serve"]:
        end_at_once_on_signals()
        collect_no_garbage()
    app()


def _version(asked: bool) -> None:
    if asked:
        print(version("gradwire"))
        raise typer.Exit


@app.callback()
def _root(
    _show: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command(
    epilog="Example: `gradwire serve --port 9000`, then "
    "`curl localhost:9000/v1/loss -H 'Content-Type: application/json' "
    '-d \'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}\'`'
)
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [default: 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one [default: 8000].")] = None,
    workers: Annotated[int | None, typer.Option(help="Server processes [default: 1].")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N [default: auto].")] = None,
) -> None:
    """Serve losses over HTTP.

    Every option is also a setting: `GRADWIRE_HOST`, `GRADWIRE_PORT`, `GRADWIRE_WORKERS`, `GRADWIRE_DEVICE`, and more
    that the documentation lists. An option wins over its variable.
    """
    from service.serving.run import CannotServe, run

    given = {"host": host, "port": port, "workers": workers, "device": device}
    settings = _settings({name: value for name, value in given.items() if value is not None})
    _check_device(settings.device)
    _check_keys(settings)
    _check_database(settings)
    # Worker processes read their settings from the environment.
    for name in given:
        os.environ[f"GRADWIRE_{name.upper()}"] = str(getattr(settings, name))
    try:
        code = run(settings)
    except CannotServe as error:
        _fail(str(error))
    if code:
        raise typer.Exit(code)


@app.command(epilog="Example: `gradwire losses huber_loss --json | jq .example | gradwire loss -`")
def loss(
    file: Annotated[str, typer.Argument(help="A file with one request as JSON; - for standard input.")],
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N [default: auto].")] = None,
) -> None:
    """Compute one request here, without a server: the same code, the same answer.

    Prints the answer as JSON. A faulty request prints its problem document on standard error, and exits with 1.
    """
    import torch

    from schemas.problem import InvalidRequest
    from service.compute import compute, open_device
    from service.http.problems import render
    from service.wire import json as wire

    settings = _settings({} if device is None else {"device": device})
    _check_device(settings.device)
    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        _fail(f"{file}: {error.strerror}")
    torch.set_num_threads(settings.torch_threads)
    try:
        request = wire.decode(body, None, max_elements=settings.max_elements)
        result = compute([request], open_device(settings.device))[0]
    except InvalidRequest as error:
        sys.stderr.buffer.write(render(error, "/v1/loss")[2] + b"\n")
        raise typer.Exit(1) from None
    sys.stdout.buffer.write(wire.encode(result, request.encoding) + b"\n")


@app.command(
    epilog="Example: `gradwire losses`, then `gradwire losses cross_entropy`, or `gradwire losses kl_div --json`"
)
def losses(
    name: Annotated[str | None, typer.Argument(help="One loss, by its name or alias.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the catalogue's entry as JSON.")] = False,
) -> None:
    """The catalogue: every loss, or one with its tensors, options and an example."""
    from schemas.catalogue import catalogue, entry
    from schemas.losses import LOSSES, resolve

    if name is None:
        if as_json:
            print(catalogue().model_dump_json(indent=2))
        else:
            _print_all()
        return
    cls = resolve(name)
    if cls is None:
        _fail(f"there is no loss {name!r}; there are {', '.join(LOSSES)}")
    if as_json:
        print(entry(cls).model_dump_json(indent=2))
    else:
        _print_one(entry(cls))


@app.command(epilog="Example: `gradwire openapi > openapi.json`, for a client generator")
def openapi() -> None:
    """Print the OpenAPI document of the service."""
    from service.http.app import create_app

    given = {"log_level": "error", "access_log": False, "api_keys": "", "api_keys_file": ""}
    document = create_app(_settings(given)).openapi()
    print(json.dumps(document, indent=2))


def _print_all() -> None:
    from rich.console import Console
    from rich.table import Table

    from schemas.catalogue import catalogue

    table = Table("loss", "torch.nn", "family", "what it is", box=None, header_style="bold")
    for item in catalogue().losses:
        table.add_row(item.name, ", ".join(item.aliases), item.family, item.summary)
    Console().print(table)


def _print_one(item: CatalogueEntry) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    console.print(f"{item.name} ({', '.join(item.aliases)})" if item.aliases else item.name, style="bold")
    console.print(f"{item.summary}\n\n  {item.formula}\n\nmean divides by {item.mean}.\n")
    tensors = Table("tensor", "dims", "values", "required", "gradient", box=None, header_style="bold")
    for tensor in item.tensors:
        required = "yes" if tensor.required else "no"
        tensors.add_row(tensor.name, tensor.dims, f"{tensor.kind}, {tensor.values}", required, tensor.differentiable)
    console.print(tensors)
    options = Table("option", "default", "what it is", box=None, header_style="bold")
    for option, schema in item.options.items():
        default = json.dumps(schema["default"]) if "default" in schema else ""
        options.add_row(option, default, schema.get("description", ""))
    console.print(options)
    for note in item.notes:
        console.print(f"- {note}")
    console.print(f"\nExample, for gradwire loss - :\n{json.dumps(item.example)}")


def _settings(given: dict[str, Any]) -> Settings:
    from pydantic import ValidationError

    from service.settings import Settings

    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        _fail(f"setting {'.'.join(map(str, first['loc']))}: {first['msg']} (got {first['input']!r})")


def _check_device(name: str) -> None:
    if name in ("auto", "cpu"):
        return  # they are always there; to look for others, torch is imported
    from service.compute import open_device

    try:
        open_device(name)
    except ValueError as error:
        _fail(str(error))


def _check_keys(settings: Settings) -> None:
    from service.access import FaultyKeys, Keyring

    try:
        keyring = Keyring.of(settings.api_keys_file, settings.api_keys)
        if keyring is not None:
            keyring.load()
    except FaultyKeys as error:
        _fail(str(error))


def _check_database(settings: Settings) -> None:
    """Open the database before serving, where one is named: who names none may never use evaluations."""
    url = settings.database_url.get_secret_value()
    if "database_url" in settings.model_fields_set and url:
        from service.database_commands import upgraded
        from service.evaluations.refusals import StoreUnavailable, StoreUnusable

        try:
            upgraded(url)
        except StoreUnavailable:
            pass  # the server says so in its log, and opens it when it is asked for
        except StoreUnusable as error:
            _fail(f"the database of evaluations: {error}")


def _fail(message: str) -> NoReturn:
    print(f"gradwire: {message}", file=sys.stderr)
    raise typer.Exit(2)
