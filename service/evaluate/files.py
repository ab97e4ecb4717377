"""The files that a command names: which there are, what kind each is, and what it holds to the bit."""

from __future__ import annotations

import glob
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.evaluate.csv_file import Csv
from service.evaluate.faults import Failed, Misused
from service.evaluate.numpy_files import Npy, Npz
from service.evaluate.safetensors_file import Safetensors
from service.evaluate.table import Table

KINDS: Final = ".parquet, .arrow, .feather, .arrows, .csv, .csv.gz, .tsv, .tsv.gz, .npz, .npy, .safetensors"


def found(patterns: list[str]) -> list[Path]:
    """The files by name or glob pattern (`**` goes into folders), in the order given; those of a pattern by name."""
    paths: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_file():
            paths[path] = None
            continue
        matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path has no absolute patterns
        matches = [match for match in matches if match.is_file()]
        if not matches:
            raise Misused(f"{pattern}: there is no such file")
        paths.update(dict.fromkeys(matches))
    return list(paths)


def tables(paths: list[Path]) -> list[Table]:
    """A table for each file; the `.npy` files of a folder are one table together."""
    grouped: dict[Path, list[Path]] = {}
    for path in paths:
        grouped.setdefault(path.parent / "*.npy" if path.suffix == ".npy" else path, []).append(path)
    try:
        return [_table(group) for group in grouped.values()]
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}") from None


def _table(group: list[Path]) -> Table:
    path = group[0]
    suffixes = [suffix.lower() for suffix in path.suffixes]
    last = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    if last in (".csv", ".tsv"):
        return Csv(path, "\t" if last == ".tsv" else ",")
    match last:
        case ".npy":
            return Npy(group)
        case ".npz":
            return Npz(path)
        case ".safetensors":
            return Safetensors(path)
        case ".parquet" | ".arrow" | ".arrows" | ".feather":
            from service.evaluate.arrow_files import Ipc, Parquet  # noqa: PLC0415 - an extra

            return Parquet(path) if last == ".parquet" else Ipc(path)
    raise Misused(f"{path}: no known kind of file; these are: {KINDS}")


@dataclass(frozen=True, slots=True)
class Content:
    """What a table's files held when they were looked at: a digest of all bytes, and when they were written last."""

    digest: str
    stamps: tuple[tuple[int, int], ...]


def content(table: Table) -> Content:
    """The content of a table's files. All bytes are read: a name, a size or a file's ends would not tell of an edit."""
    whole = hashlib.blake2b(digest_size=8)
    stamps = stamped(table)
    try:
        for path in table.paths:
            with path.open("rb") as stream:
                whole.update(hashlib.file_digest(stream, "blake2b").digest())
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}") from None
    if len(table.paths) > 1:  # columns that bear the names of their files
        whole.update("/".join(path.name for path in table.paths).encode())
    return Content(whole.hexdigest(), stamps)


def stamped(table: Table) -> tuple[tuple[int, int], ...]:
    """Size and time of the last change of each file."""
    try:
        return tuple((stat.st_size, stat.st_mtime_ns) for stat in (path.stat() for path in table.paths))
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}") from None
