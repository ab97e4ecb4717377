"""Every setting of the service, read from `GRADWIRE_*` environment variables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1 << 20


class Settings(BaseSettings):
    """The settings, each with the meaning that the documentation tells of it."""

    model_config = SettingsConfigDict(env_prefix="GRADWIRE_", extra="ignore")

    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=64, description="Server processes, each with an engine of its own.")
    device: str = Field(
        "auto",
        description="Where losses are computed: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`.",
    )
    engine: Literal["batching", "direct"] = Field(
        "batching", description="`batching` computes queued requests together; `direct` each alone."
    )
    torch_threads: int = Field(
        1,
        ge=1,
        le=256,
        description="Threads of one torch operation on the CPU. The last bits of sums depend on it; scale by workers.",
    )
    batch_elements: int = Field(
        MIB,
        ge=1,
        description="Elements (inputs, weights, targets and losses together) that are taken from the queue at once.",
    )
    inline_elements: int = Field(
        40_960,
        ge=0,
        description="On the CPU, requests of at most this many elements are computed on the event loop, those of one "
        "turn together, instead of on the worker; 0 sends all to the worker.",
    )
    max_body_bytes: int = Field(64 * MIB, ge=1, description="The largest request body, in bytes.")
    max_decompressed_bytes: int = Field(
        256 * MIB, ge=1, description="The largest request body once its Content-Encoding is undone, in bytes."
    )
    compress_bytes: int = Field(
        4096,
        ge=0,
        description="Answers of at least this many bytes are compressed where Accept-Encoding asks for it and a "
        "quarter is saved; 0: none are.",
    )
    max_elements: int = Field(
        16 * MIB, ge=1, description="The most elements that one request may need, broadcasts and work space included."
    )
    offload_bytes: int = Field(
        MIB,
        ge=0,
        description="Bodies and answers of at least this many bytes are decoded and encoded beside the event loop.",
    )
    max_connections: int = Field(
        4096,
        ge=1,
        description="The most connections that one process holds; one more is answered with 503. Fewer where the "
        "operating system allows no more open files.",
    )
    max_head_bytes: int = Field(65536, ge=1024, description="The largest head of a request, in bytes.")
    head_timeout_seconds: float = Field(
        10.0, gt=0, description="How long a request's head, or a new connection's first byte, may take, in seconds."
    )
    body_timeout_seconds: float = Field(
        20.0, gt=0, description="How long a body may stand still before the request is given up, in seconds."
    )
    write_timeout_seconds: float = Field(
        30.0, gt=0, description="How long a caller may leave its answer unread before it is cut off, in seconds."
    )
    least_bytes_per_second: int = Field(
        4096,
        ge=0,
        description="How fast bodies come and answers are read at least, averaged over all time beyond their timeout; "
        "0: any drop will do.",
    )
    keep_alive_seconds: float = Field(
        30.0, gt=0, description="How long a connection is kept for its next request, in seconds."
    )
    probe_seconds: float = Field(
        5.0, gt=0, description="How long `/readyz` waits for its probe computation, in seconds."
    )
    drain_seconds: int = Field(
        30, ge=0, description="How long requests in flight may take to be answered after SIGTERM, in seconds."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="How a log line is written: for people, or one JSON object a line."
    )
    access_log: bool = Field(True, description="Whether every request is logged, with its id, status and durations.")

    @field_validator("device")
    @classmethod
    def _device(cls, value: str) -> str:
        kind, _, index = value.partition(":")
        if value in ("auto", "cpu", "cuda") or (kind == "cuda" and index.isdigit()):
            return value
        raise ValueError("must be auto, cpu, cuda or cuda:N")
