"""Every metric that `/metrics` exports: its name, kind, labels and meaning, in one table.

Names and units are Prometheus's: seconds and bytes, `_total` on what only grows. The values of every label come from a
list that is known beforehand, so that no caller can make series.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Family(NamedTuple):
    """One metric. `over_all`: what several processes' gauges become in a scrape."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    over_all: Literal["sum", "min", "max"] = "sum"


FAMILIES: Final[dict[str, Family]] = {
    # Requests.
    "gradwire_requests_total": Family(
        "counter",
        "Requests answered, by route template, method, status code and loss; 499: the caller left before the answer.",
        ("route", "method", "status", "loss"),
    ),
    "gradwire_request_duration_seconds": Family(
        "histogram",
        "From a request's head to the last byte of its answer handed over, by route template.",
        ("route",),
    ),
    "gradwire_step_duration_seconds": Family(
        "histogram",
        "The steps of answered losses (decode, queue, compute, encode), by loss; "
        "a loss of a batch call counts its share of reading and writing.",
        ("step", "loss"),
    ),
    "gradwire_losses_total": Family(
        "counter",
        "Losses asked for, alone or in batch calls, by loss and outcome (answered, failed).",
        ("loss", "outcome"),
    ),
    "gradwire_received_bytes_total": Family("counter", "Bytes of the bodies of compute requests, as they were sent."),
    "gradwire_sent_bytes_total": Family("counter", "Bytes of answers' bodies, as they were sent."),
    # What is under way.
    "gradwire_in_flight_requests": Family("gauge", "Requests that are being read, computed or answered."),
    "gradwire_in_flight_bytes": Family("gauge", "Bytes reserved for the bodies and tensors of requests in flight."),
    "gradwire_in_flight_bytes_limit": Family("gauge", "The most bytes that may be reserved at once."),
    "gradwire_queue_requests": Family("gauge", "Requests and bundles that wait for the engine, or are being computed."),
    "gradwire_queue_elements": Family("gauge", "Elements of what waits for the engine, or is being computed."),
    "gradwire_drain_elements_per_second": Family("gauge", "Elements that the engine computes in a second, measured."),
    # The engine.
    "gradwire_batch_requests": Family("histogram", "Requests and bundles computed together, by batch."),
    "gradwire_batch_elements": Family("histogram", "Elements computed together, by batch."),
    "gradwire_batch_duration_seconds": Family("histogram", "Computing one batch."),
    "gradwire_dropped_total": Family(
        "counter", "Requests dropped before they were computed, by reason (caller_gone, deadline).", ("reason",)
    ),
    "gradwire_worker_restarts_total": Family("counter", "Compute workers that were given up and started anew."),
    "gradwire_retries_total": Family("counter", "Requests computed again, alone, because their batch had failed."),
    "gradwire_oom_splits_total": Family("counter", "Batches cut in two because they did not fit into memory."),
    # Refusals.
    "gradwire_refused_total": Family(
        "counter",
        "Requests refused before they were served, by who refused (admission, access, protocol) and why.",
        ("by", "reason"),
    ),
    # The service itself.
    "gradwire_log_lines_dropped_total": Family(
        "counter", "Log lines dropped because standard error was slow or closed."
    ),
    "gradwire_ready": Family(
        "gauge", "1 while every process takes requests and its last probe computed right; else 0.", over_all="min"
    ),
    "gradwire_processes": Family("gauge", "Server processes that are alive."),
    "gradwire_build_info": Family(
        "gauge", "Always 1; the versions are its labels.", ("version", "python", "torch"), over_all="max"
    ),
    # Of the processes, by the names that every Prometheus client uses.
    "process_cpu_seconds_total": Family("counter", "Processor time of all server processes, in seconds."),
    "process_resident_memory_bytes": Family("gauge", "Resident memory of all server processes, in bytes."),
    "process_virtual_memory_bytes": Family("gauge", "Virtual memory of all server processes, in bytes."),
    "process_open_fds": Family("gauge", "Open file descriptors of all server processes."),
    "process_max_fds": Family("gauge", "File descriptors that one server process may have open.", over_all="min"),
    "process_start_time_seconds": Family(
        "gauge", "When the oldest server process started, in seconds since 1970.", over_all="min"
    ),
}
