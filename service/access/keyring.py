"""All keys, from a file or a text in TOML; and the file's changes."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.access.keys import Key

MAX_KEYS: Final = 4096
MAX_BYTES: Final = 1 << 22
"""Bytes of a file of keys: more than the most keys need."""

Stamp = tuple[int, int, int]
"""What changes with a file: its modification time in nanoseconds, its size and its inode."""


class FaultyKeys(ValueError):
    """The keys cannot be read; the message says where and why, and holds nothing of theirs."""


class _Listed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key] = Field(default_factory=list, max_length=MAX_KEYS)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        for what in ("name", "id"):
            seen: set[str] = set()
            for key in self.keys:
                value = getattr(key, what)
                if value in seen:
                    raise ValueError(f"two keys have the {what} {value!r}")
                seen.add(value)
        return self


class Keyring:
    """Where the keys are kept: a file that may change, or a text."""

    def __init__(self, *, file: Path | None = None, text: str = "") -> None:
        self._file = file
        self._text = text
        self._stamp: Stamp | None = None

    @classmethod
    def of(cls, file: str, text: str) -> Self | None:
        """The keys of that file, or of that text; `None` where neither is set. Raises `FaultyKeys` where both are."""
        if file and text:
            raise FaultyKeys("GRADWIRE_API_KEYS_FILE and GRADWIRE_API_KEYS are both set; keys come from one of them")
        return cls(file=Path(file)) if file else cls(text=text) if text else None

    @property
    def source(self) -> str:
        """Where the keys come from, for messages."""
        return str(self._file) if self._file is not None else "GRADWIRE_API_KEYS"

    def load(self) -> list[Key]:
        """Read all keys. Raises `FaultyKeys`."""
        if self._file is None:
            return parse(self._text, self.source)
        # The stamp is taken first: what is written meanwhile counts as another change.
        self._stamp = self._look()
        try:
            with self._file.open("rb") as stream:
                content = stream.read(MAX_BYTES + 1)
        except OSError as error:
            raise FaultyKeys(f"{self.source}: {error.strerror}") from None
        if len(content) > MAX_BYTES:
            raise FaultyKeys(f"{self.source}: larger than {MAX_BYTES} bytes")
        try:
            return parse(content.decode(), self.source)
        except UnicodeDecodeError as error:
            raise FaultyKeys(f"{self.source}: no UTF-8 at byte {error.start}") from None

    def changed(self) -> bool:
        """Whether the file is another than the one last read, right or wrong."""
        return self._look() != self._stamp

    def _look(self) -> Stamp | None:
        if self._file is None:
            return None
        try:
            found = os.stat(self._file)  # noqa: PTH116 # a third of Path.stat's time, every few seconds
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def parse(text: str, source: str) -> list[Key]:
    """The keys of a text in TOML. Raises `FaultyKeys`."""
    try:
        return _Listed.model_validate(tomllib.loads(text)).keys
    except tomllib.TOMLDecodeError as error:
        raise FaultyKeys(f"{source} is no TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        raise FaultyKeys(f"{source}: {where + ': ' if where else ''}{first['msg']}") from None


def written(key: Key) -> str:
    """A key as a table of TOML."""
    lines = ["[[keys]]"]
    told = key.model_dump(mode="json", exclude_defaults=True)
    told["scopes"] = sorted(told["scopes"])
    if key.expires is not None:
        told["expires"] = key.expires
    lines += [f"{name} = {_value(told[name])}" for name in Key.model_fields if name in told]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'  # names, ids and digests hold nothing that needs escaping
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else repr(value)
    return str(value)  # whole numbers, and moments as TOML has them
