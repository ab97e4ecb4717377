"""What the command's options say, as the members of a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from schemas.losses import resolve
from service.evaluate.faults import Misused
from service.evaluate.thresholds import Threshold
from service.evaluate.weights import weights as weights_in

FORMATS: Final = {".html": "html", ".json": "json", ".csv": "csv", ".md": "markdown"}


def spec_of(*, loss: str | None, **members: Any) -> dict[str, Any]:
    """The run of that loss; members that say nothing are left out.

    What has names is in their order: told in another one it is the same run.
    """
    if loss is None:
        raise Misused("--loss is needed: see gradwire losses")
    cls = resolve(loss)
    if cls is None:
        raise Misused(f"there is no loss {loss!r}: see gradwire losses")
    said = {name: value for name, value in members.items() if value not in (None, {}, [], "")}
    named = {name: dict(sorted(said[name].items())) for name in ("options", "tags") if name in said}
    return {"loss": cls.name} | said | named


def options_of(option: list[str] | None, weights: list[str] | None, classes: tuple[str, ...] | None) -> dict[str, Any]:
    """The loss's options, and the tensors that all batches share."""
    found = {name: _value(text, f"--option {name}") for name, text in pairs_of(option, "--option").items()}
    for one in weights or ():
        name, _, file = one.rpartition("=")
        found[name or "weight"] = weights_in(Path(file), classes)
    return found


def metrics_of(metric: list[str] | None, thresholds: list[Threshold]) -> list[dict[str, Any]]:
    """The metrics asked for, and those that thresholds are on."""
    found: list[dict[str, Any]] = []
    for text in metric or ():
        name, _, rest = text.partition(":")
        what = f"--metric {name}"
        given = pairs_of(rest.split(",") if rest else None, what)
        found.append({"name": name} | {key: _value(value, f"{what}:{key}") for key, value in given.items()})
    for threshold in thresholds:
        if threshold.metric is not None and threshold.metric not in {one["name"] for one in found}:
            found.append({"name": threshold.metric})
    return found


def classes_of(text: str | None) -> tuple[str, ...] | None:
    """The names of the classes: so many numbers, names with commas between, or a file's lines."""
    if text is None:
        return None
    if text.isdigit():
        return tuple(str(at) for at in range(int(text)))
    if "," in text:
        return tuple(text.split(","))
    try:
        names = [line.strip() for line in Path(text).read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(
            f"--classes {text}: neither a number, nor names with commas between, nor a file: {error}"
        ) from None
    return tuple(name for name in names if name)


def level_of(confidence: float) -> float:
    """The level of intervals."""
    if not 0 < confidence < 1:
        raise Misused(f"--confidence {confidence:g}: a level between 0 and 1 is needed")
    return confidence


def reports_of(paths: list[Path]) -> dict[Path, str]:
    """The format of each report."""
    for path in paths:
        if path.suffix not in FORMATS:
            raise Misused(f"--report {path}: its suffix tells the format: {', '.join(FORMATS)}")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise Misused(f"--report {path}: {path.parent} is no folder that can be written to")
    return {path: FORMATS[path.suffix] for path in paths}


def pairs_of(given: list[str] | None, what: str) -> dict[str, str]:
    """The values by name of `name=value`."""
    found = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not (name and equals and value):
            raise Misused(f"{what} {one!r}: name=value is needed")
        if name in found:
            raise Misused(f"{what}: {name} is there twice")
        found[name] = value
    return found


def _value(text: str, what: str) -> Any:
    """A JSON value; else the text as it is. Raises `Misused` for numbers that are not finite."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    try:
        json.dumps(found, allow_nan=False)
    except ValueError:
        raise Misused(f"{what}={text}: a finite number is needed") from None
    return found


def none_of(given: dict[str, Any]) -> None:
    """Refuse what a run that is there already has."""
    for name, value in given.items():
        if value is not None and value != []:
            raise Misused(f"{name} is what a run is made with; the one of --run is there already")


def one_of(server: str | None, database: str | None) -> None:
    """Refuse a database beside a server."""
    if database is not None and server is not None:
        raise Misused("--database is for runs in this process; --server has its own")
