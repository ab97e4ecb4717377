"""An evaluation from files to report: the run is found or made, and is sent what it has not."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.losses import resolve
from schemas.request import LossRequest
from service.evaluate.batches import ID, Batch, Reading, batch_size, batches, by_rows, rows
from service.evaluate.body import MEDIA_TYPES, Wire, encode
from service.evaluate.faults import Failed, Misused
from service.evaluate.files import Content, content, stamped
from service.evaluate.progress import Telling
from service.evaluate.refusal import by_row
from service.evaluate.service import Refused, Service
from service.evaluate.table import PIECE, Table
from service.evaluate.values import texts

RUNS: Final = "/v1/evaluations"
MOST_GROUPS: Final = 1000
"""Names of groups that a run takes."""


@dataclass(frozen=True)
class Asked:
    """What is to be evaluated, and how.

    `spec` is what the run is made of; with `run`, the id of one that is there, that one's own counts, and `loss` must
    be its loss where it is told. `tensors`: columns by tensor, beside those that bear their tensor's name.
    """

    tables: list[Table]
    spec: dict[str, Any]
    loss: str | None = None
    tensors: Mapping[str, str] = field(default_factory=dict)
    ids: str | None = None
    group: str | None = None
    classes: tuple[str, ...] | None = None
    run: str | None = None
    batch_size: int | None = None
    senders: int = 4
    wire: Wire = "safetensors"
    seal: bool = True


class Evaluation:
    """One evaluation. `run` is the run's id, once it is found or made: what is in it stays there if this ends early."""

    def __init__(self, asked: Asked, service: Service, telling: Telling) -> None:
        self._asked = asked
        self._service = service
        self._telling = telling
        self.run: str | None = None

    async def report(self) -> dict[str, Any]:
        """Send what the run has not, seal it, and answer its report. Raises `Misused` and `Failed`."""
        asked, telling = self._asked, self._telling
        telling.doing("looking at the files")
        run = await self._get(f"{RUNS}/{asked.run}") if asked.run else None
        reading = _reading(asked, run)
        contents = [await asyncio.to_thread(content, table) for table in asked.tables]
        _differ(asked.tables, contents)
        size = await asyncio.to_thread(_batch_size, asked, reading)
        if run is None:
            run = await self._made(reading, contents, size)
        self.run = str(run["id"])
        telling.doing("asking for what is there")
        sent, samples = await self._sent(reading, contents, size)
        left = _left(asked.tables, contents, reading, size, sent)
        telling.expecting(_total(asked.tables, reading), samples)
        try:
            await (self._lacks_nothing(left) if run["state"] == "sealed" else self._send(left))
        finally:
            with suppress(ValueError):  # after Ctrl-C a thread may still read
                left.close()
        if run["state"] != "sealed":
            self._unchanged(contents)
            if asked.seal:
                telling.doing("sealing")
                await self._service.call("PATCH", f"{RUNS}/{self.run}", json={"state": "sealed"})
        telling.doing("asking for the report")
        return await self._get(f"{RUNS}/{self.run}/report", format="json")

    async def written(self, form: str) -> bytes:
        """The run's report in that form: `json`, `html`, `csv` or `markdown`."""
        response = await self._service.call("GET", f"{RUNS}/{self.run}/report", params={"format": form})
        return response.content

    async def _get(self, path: str, **params: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self._service.call("GET", path, params=params)).json()
        return found

    async def _made(self, reading: Reading, contents: list[Content], size: int) -> dict[str, Any]:
        """The run of these files and this specification: a key made of both finds it again."""
        spec = dict(self._asked.spec)
        if reading.group is not None and "groups" not in spec:
            self._telling.doing("looking for groups")
            spec["groups"] = await asyncio.to_thread(_groups, self._asked.tables, reading.group)
        total = _total(self._asked.tables, reading)
        if total is not None:
            spec["expected_samples"] = total
        told = [sorted(one.digest for one in contents), reading.digest(size), spec]
        key = hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).hexdigest()
        try:
            response = await self._service.call("POST", RUNS, json=spec, headers={"idempotency-key": key})
        except Refused as refused:
            if refused.status == 422:
                raise Misused(f"such a run cannot be: {'; '.join(refused.listed()) or refused}") from None
            raise
        found: dict[str, Any] = response.json()
        return found

    async def _sent(self, reading: Reading, contents: list[Content], size: int) -> tuple[dict[str, set[int]], int]:
        """The first rows of the batches that the run has, by the file's digest, and how many samples they are."""
        sent: dict[str, set[int]] = {one.digest: set() for one in contents}
        files = {one.digest: table.name for table, one in zip(self._asked.tables, contents, strict=True)}
        cut = reading.digest(size)
        samples = 0
        cursor: str | None = None
        while True:
            page = await self._get(f"{RUNS}/{self.run}/batches", limit="1000", **({"cursor": cursor} if cursor else {}))
            for batch in page["batches"]:
                match = ID.fullmatch(batch["batch_id"])
                if match is None or match["content"] not in sent:
                    continue  # of another file
                if match["cut"] != cut:
                    name = files[match["content"]]
                    told = f"run {self.run} has rows of {name} by other columns, classes or batches of another size"
                    raise Misused(f"{told}: they would count twice")
                sent[match["content"]].add(int(match["start"]))
                samples += int(match["stop"]) - int(match["start"])
            cursor = page["next_cursor"]
            if cursor is None:
                return sent, samples

    async def _lacks_nothing(self, left: Iterator[Batch]) -> None:
        """Raises `Failed` where a sealed run has not all rows."""
        batch = await asyncio.to_thread(next, left, None)
        if batch is not None:
            told = f"run {self.run} is sealed, and lacks rows {batch.start} to {batch.stop - 1} of {batch.table}"
            raise Failed(told)

    async def _send(self, left: Iterator[Batch]) -> None:
        """Send all that is left, by as many senders as asked; memory holds a batch or two for each."""
        turn = asyncio.Lock()
        ended = asyncio.Event()

        async def sender() -> None:
            while True:
                async with turn:
                    if ended.is_set():
                        return
                    batch = await asyncio.to_thread(next, left, None)
                    if batch is None:
                        ended.set()
                        return
                await self._send_one(batch)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._asked.senders):
                    group.create_task(sender())
        except* (Failed, Misused) as errors:
            raise _first(errors) from None

    async def _send_one(self, batch: Batch) -> None:
        wire = self._asked.wire
        headers = {"content-type": MEDIA_TYPES[wire], "accept": "application/json"}
        try:
            body = encode(batch, wire)
            response = await self._service.call("POST", f"{RUNS}/{self.run}/batches", content=body, headers=headers)
        except Refused as refused:
            raise by_row(refused, batch) from None
        self._telling.added(batch.stop - batch.start, response.json()["total"])

    def _unchanged(self, contents: list[Content]) -> None:
        for table, one in zip(self._asked.tables, contents, strict=True):
            if stamped(table) != one.stamps:
                raise Failed(f"{table.name} was changed while it was read: run {self.run} is of no use")


def _reading(asked: Asked, run: dict[str, Any] | None) -> Reading:
    """What is read from the tables. Raises `Misused` where the loss has no such tensors."""
    spec = asked.spec if run is None else run
    name = spec["loss"]
    loss = resolve(name)
    if loss is None or not loss.tensor_fields:
        raise Misused(f"no loss {name!r} that takes tensors of its own: see gradwire losses")
    if run is not None and asked.loss is not None and resolve(asked.loss) is not loss:
        raise Misused(f"run {run['id']} computes {name}, not {asked.loss}")
    tensors = dict(asked.tensors)
    for tensor in tensors:
        if tensor not in loss.tensor_fields:
            raise Misused(f"{loss.name} has no tensor {tensor!r}; it has {', '.join(loss.tensor_fields)}")
    for tensor in _needed(loss):
        tensors.setdefault(tensor, tensor)
    classes = asked.classes
    if run is not None and spec.get("classes"):
        own = tuple(spec["classes"])
        if classes not in (None, own):
            raise Misused(f"--classes are not those of run {run['id']}, in its order: leave them out, it has its own")
        classes = own
    reading = Reading(loss, tensors, asked.ids, asked.group, classes)
    for table in asked.tables:
        reading.columns(table)
    return reading


def _left(
    tables: list[Table], contents: list[Content], reading: Reading, size: int, sent: dict[str, set[int]]
) -> Generator[Batch, None, None]:
    """The batches that the run has not, one table after the other."""
    for table, one in zip(tables, contents, strict=True):
        yield from batches(reading, table, one, size, sent[one.digest])


def _needed(loss: type[LossRequest]) -> list[str]:
    """The tensors that every batch must have."""
    fields = loss.model_fields
    return [name for name, spec in loss.tensor_fields.items() if fields[name].is_required() and by_rows(spec)]


def _batch_size(asked: Asked, reading: Reading) -> int:
    """How many rows a batch has; looks at the first row there is. Raises `Failed` where there is none."""
    for table in asked.tables:
        for first in rows(reading, table, size=1):
            return asked.batch_size or batch_size(first)
    raise Failed(f"{', '.join(table.name for table in asked.tables)}: there are no rows")


def _groups(tables: list[Table], column: str) -> list[str]:
    """The names of all groups, in order."""
    found: set[str] = set()
    for table in tables:
        for piece in table.pieces([column], 0, PIECE * 16):
            found.update(texts(piece[column], "group"))
            if len(found) > MOST_GROUPS:
                raise Misused(f"{table.name}: {column} has more than {MOST_GROUPS} groups")
    return sorted(found)


def _differ(tables: list[Table], contents: list[Content]) -> None:
    """Raises `Misused` where two files hold the same: their rows would count once."""
    seen: dict[str, str] = {}
    for table, one in zip(tables, contents, strict=True):
        if one.digest in seen:
            raise Misused(f"{seen[one.digest]} and {table.name} hold the same: is one a copy of the other?")
        seen[one.digest] = table.name


def _total(tables: list[Table], reading: Reading) -> int | None:
    """All rows, where every table knows its own."""
    total = 0
    for table in tables:
        columns = reading.columns(table)
        count = table.count(next(iter(columns.values())))
        if count is None:
            return None
        total += count
    return total or None


def _first(errors: BaseExceptionGroup[Failed | Misused]) -> Failed | Misused:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, Failed | Misused)  # noqa: S101 - tells mypy what except* has seen to
    return found
