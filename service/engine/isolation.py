"""Computing a group so that only a culprit fails: one by one where it raises, in halves where there is no room."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.compute import Device, Result, Work
from service.engine.base import DeadlinePassed, Outcome, TooLargeForDevice
from service.engine.entry import Entry, Finished
from service.engine.faults import Fault, fault_of
from service.engine.tally import CALLER_GONE, DEADLINE, Tally

log = logging.getLogger("gradwire.engine")

Compute = Callable[[Sequence[Work], Device], Sequence[Result]]


class DeviceLost(Exception):
    """Nothing can be computed on the device any more."""


@dataclass(slots=True)
class Progress:
    """What came of computing since it was last handed over; seconds and elements by batch."""

    finished: Finished = field(default_factory=list)
    batches: list[tuple[int, int, float]] = field(default_factory=list)
    gone: int = 0
    late: int = 0
    splits: int = 0
    retries: int = 0

    def count(self, tally: Tally) -> None:
        """Add it to what the engine counts; on the event loop."""
        for requests, elements, seconds in self.batches:
            tally.computed(requests, elements, seconds)
        if self.gone or self.late:
            tally.dropped[CALLER_GONE] += self.gone
            tally.dropped[DEADLINE] += self.late
        tally.oom_splits += self.splits
        tally.retries += self.retries


def answer(group: Sequence[Entry], compute: Compute, device: Device, progress: Progress) -> None:
    """Compute requests with equal keys as one batch, without those that nobody waits for any more.

    If that raises, each of them is computed alone, once; if there is no room, half of them and then the other half.
    Raises `DeviceLost`.
    """
    group = _wanted(group, progress)
    if not group:
        return
    began = time.perf_counter()
    try:
        results = compute([entry.request for entry in group], device)
    except Exception as error:
        fault = fault_of(error, device)
        if fault is Fault.DEVICE:
            log.exception("the device is lost")
            raise DeviceLost from error
        if fault is Fault.REQUEST and len(group) == 1:
            # The traceback is for who asked, who knows the request's id.
            log.warning("a request failed", extra={"loss": group[0].request.name})
            progress.finished.append((group[0].future, error))
            return
    else:
        seconds = time.perf_counter() - began
        progress.batches.append((len(group), sum([entry.elements for entry in group]), seconds))
        progress.finished += [
            (entry.future, Outcome(result, began - entry.asked, seconds, len(group), began))
            for entry, result in zip(group, results, strict=True)
        ]
        return
    # Out here the exception is gone, and with its traceback the tensors that it held.
    if fault is Fault.REQUEST:
        log.warning("a batch failed; computing its requests alone", extra={"requests": len(group)})
        progress.retries += len(group)
        for entry in group:
            answer([entry], compute, device, progress)
        return
    device.release()
    if len(group) == 1:
        entry = group[0]
        log.warning("no room for a request", extra={"loss": entry.request.name, "elements": entry.elements})
        progress.finished.append((entry.future, TooLargeForDevice(never=_bytes(entry) > device.capacity())))
        return
    log.warning("no room for a batch; computing its halves", extra={"requests": len(group)})
    progress.splits += 1
    half = len(group) // 2
    answer(group[:half], compute, device, progress)
    answer(group[half:], compute, device, progress)


def _wanted(group: Sequence[Entry], progress: Progress) -> Sequence[Entry]:
    """Those that somebody waits for still."""
    now = time.perf_counter()
    wanted = []
    for entry in group:
        future, deadline = entry.future, entry.deadline
        if future.done():
            if future.cancelled():
                progress.gone += 1
            else:
                progress.late += 1
        elif deadline is not None and deadline <= now:
            progress.late += 1
            progress.finished.append((future, DeadlinePassed()))
        else:
            wanted.append(entry)
    return wanted


def _bytes(entry: Entry) -> int:
    """What its tensors need at the very least: two bytes an element."""
    return 2 * entry.elements
