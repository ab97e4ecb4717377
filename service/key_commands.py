"""`gradwire keys`: make API keys, and look at those there are."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from service.access import SCOPES, Caller, Denied, FaultyKeys, Gate, Key, Keyring, Ledger
from service.access.keyring import parse, written
from service.access.token import mint

app = typer.Typer(no_args_is_help=True, help="Make API keys, and look at those there are (docs/access.md).")

WIDTH = 200
"""Columns of a listing that no terminal shows."""

KeysFile = Annotated[Path, typer.Option("--file", help="The file of keys.", envvar="GRADWIRE_API_KEYS_FILE")]


@app.command(
    epilog="Example: `gradwire keys new --name team-a --requests-per-second 50 --expires 2027-01-01 --file keys.toml`"
)
def new(
    name: Annotated[str, typer.Option(help="Whose key it is: letters, digits, dots, dashes.")],
    scope: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(SCOPES)}; may be repeated [default: compute and read].")
    ] = None,
    requests_per_second: Annotated[float | None, typer.Option(help="Requests a second in the long run.")] = None,
    requests_burst: Annotated[int | None, typer.Option(help="Requests at once [default: those of a second].")] = None,
    elements_per_second: Annotated[float | None, typer.Option(help="Elements a second in the long run.")] = None,
    elements_burst: Annotated[int | None, typer.Option(help="Elements at once [default: those of a second].")] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(help="The day from which it is refused, in UTC.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Add its record to this file; else the record is printed.")] = None,
) -> None:
    """Make a key. It is printed this once, on the first line; only its SHA-256 is kept."""
    minted = mint()
    given = {
        "name": name,
        "id": minted.id,
        "sha256": minted.sha256,
        "scopes": scope or ["compute", "read"],
        "requests_per_second": requests_per_second,
        "requests_burst": requests_burst,
        "elements_per_second": elements_per_second,
        "elements_burst": elements_burst,
        "expires": expires.replace(tzinfo=UTC) if expires is not None else None,
    }
    try:
        record = written(Key.model_validate(given))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        _fail(f"{' '.join(map(str, first['loc'])) or 'key'}: {first['msg']}")
    if file is None:
        print(minted.token)
        print()
        print(record, end="")
        return
    _append(file, record)
    print(minted.token)
    print(f"gradwire: {name} was added to {file}; its key is shown this once", file=sys.stderr)


@app.command("list", epilog="Example: `gradwire keys list --file keys.toml`")
def list_keys(file: KeysFile) -> None:
    """List all keys, without anything secret; a file that cannot be used is told, and exits with 2."""
    table = Table("name", "id", "scopes", "requests/s", "elements/s", "state", box=None, header_style="bold")
    keys = _load(file)
    for key in keys:
        table.add_row(
            key.name,
            key.id,
            ", ".join(sorted(key.scopes)),
            _rate(key.requests_per_second, key.requests_burst),
            _rate(key.elements_per_second, key.elements_burst),
            _state(key),
        )
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDTH  # a line a key, for those that read it
    console.print(table)


@app.command(epilog="Example: `gradwire keys check --file keys.toml < key.txt`")
def check(file: KeysFile) -> None:
    """Tell whose key is on standard input; one that would be refused is told why, and exits with 1."""
    token = sys.stdin.buffer.readline(1 << 16).strip()
    ledger = Ledger.private()
    try:
        caller: Caller = Gate(_load(file), ledger).enter(token, time.time())
    except Denied as error:
        print(f"gradwire: this key is {error.reason}", file=sys.stderr)
        raise typer.Exit(1) from None
    finally:
        ledger.close()
    print(f"{caller.name}: {', '.join(sorted(caller.scopes))}")


def _append(file: Path, record: str) -> None:
    """Add a record in one write, once the whole is seen to be sound; a new file is its owner's alone."""
    before = ""
    try:
        if file.exists():
            Keyring(file=file).load()
            before = file.read_text()
        added = ("\n" if before.endswith("\n") else "\n\n") + record if before else record
        parse(before + added, str(file))
        with open(file, "a", opener=lambda path, flags: os.open(path, flags, 0o600)) as stream:
            stream.write(added)
    except FaultyKeys as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{file}: {error.strerror}")


def _load(file: Path) -> list[Key]:
    try:
        return Keyring(file=file).load()
    except FaultyKeys as error:
        _fail(str(error))


def _rate(rate: float | None, burst: int | None) -> str:
    if rate is None:
        return "any"
    return f"{rate:.15g}" + (f" (at once {burst})" if burst is not None else "")


def _state(key: Key) -> str:
    if key.disabled:
        return "disabled"
    if key.expires is None:
        return "valid"
    over = key.expires.timestamp() <= time.time()
    return f"{'expired' if over else 'valid until'} {key.expires:%Y-%m-%d %H:%M %Z}"


def _fail(message: str) -> NoReturn:
    print(f"gradwire: {message}", file=sys.stderr)
    raise typer.Exit(2)
