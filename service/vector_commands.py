"""`gradwire vectors`: test vectors of losses, as files."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

EXAMPLE = (
    "Example: `gradwire vectors --out vectors`, or `gradwire vectors huber_loss kl_div --out vectors --format both`"
)


def vectors(
    losses: Annotated[list[str] | None, typer.Argument(help="Losses, by name or alias [default: all].")] = None,
    out: Annotated[Path, typer.Option(help="The folder to write to; it is made if need be.")] = Path("vectors"),
    form: Annotated[Literal["json", "safetensors", "both"], typer.Option("--format", help="The form.")] = "json",
) -> None:
    """Write test vectors: requests of every kind with their answers, to hold other implementations to.

    One file a loss, and `index.json` with the SHA-256 of each. The same versions on the same kind of machine write the
    same bytes (docs/vectors.md).
    """
    from schemas.losses import LOSSES, resolve
    from service.vectors.files import Made, origin

    chosen = []
    for name in losses or LOSSES:
        cls = resolve(name)
        if cls is None:
            _fail(f"there is no loss {name!r}; there are {', '.join(LOSSES)}")
        if cls not in chosen:
            chosen.append(cls)
    entries = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for cls in chosen:
            made = Made(cls)
            texts = {"json": made.as_json, "safetensors": made.as_safetensors}
            for kind in texts if form == "both" else (form,):
                file = out / f"{cls.name}.{kind}"
                data = texts[kind]()
                file.write_bytes(data)
                digest = hashlib.sha256(data).hexdigest()
                entries.append({"loss": cls.name, "file": file.name, "cases": len(made.cases), "sha256": digest})
        (out / "index.json").write_text(json.dumps({**origin(), "files": entries}, indent=2) + "\n")
    except OSError as error:
        _fail(f"{error.filename or out}: {error.strerror}")
    print(f"{out}: {len(entries)} files of {len(chosen)} losses, and index.json")


def _fail(message: str) -> NoReturn:
    print(f"gradwire: {message}", file=sys.stderr)
    raise typer.Exit(2)
