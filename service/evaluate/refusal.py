"""The service's refusal of a batch, told by the file's rows."""

from __future__ import annotations

from service.evaluate.batches import Batch
from service.evaluate.faults import BadRows, Failed
from service.evaluate.service import MOST_SHOWN, Refused


def by_row(refused: Refused, batch: Batch) -> Failed:
    """What is wrong with the batch: pointers such as `/target/3` become the file's name and row."""
    where = f"{batch.table}, rows {batch.start} to {batch.stop - 1}"
    if refused.status == 413:
        return Failed(f"{where}: {refused.problem.get('detail')}; a smaller --batch-size makes smaller requests")
    if refused.status != 422 or not refused.errors:
        return Failed(f"{where}: {refused}")
    told = [_told(pointer, detail, batch, where) for pointer, detail in refused.errors[:MOST_SHOWN]]
    more = len(refused.errors) - MOST_SHOWN
    return BadRows("\n".join([*told, f"and {more} more"] if more > 0 else told))


def _told(pointer: str, detail: str, batch: Batch, where: str) -> str:
    name, *place = pointer.split("/")[1:] or [""]
    row = _row(name, place, batch)
    if row is None:
        return f"{where}: {pointer + ': ' if pointer else ''}{detail}"
    return f"{batch.table}, row {row}: {name}: {detail}"


def _row(name: str, place: list[str], batch: Batch) -> int | None:
    """The row that a pointer is of; None where it is of the whole batch, or of an index that is not there."""
    axis = 0
    if name in batch.tensors:
        axis = batch.axes[name]
    elif name not in ("sample_ids", "groups"):
        return None
    if len(place) <= axis or not place[axis].isdigit():
        return None
    row = batch.start + int(place[axis])
    return row if row < batch.stop else None
