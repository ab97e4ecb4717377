"""Every setting of the service, read from `GRADWIRE_*` environment variables."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 1 << 20
ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")


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
    max_inflight_bytes: int = Field(
        1024 * MIB,
        ge=MIB,
        description="Bytes that the bodies, tensors and answers of all requests in flight may take together, in each "
        "process.",
    )
    max_inflight_requests: int = Field(
        1024, ge=1, description="Requests to compute that may be in flight at once, in each process."
    )
    max_queue_seconds: float = Field(
        10.0,
        gt=0,
        description="Requests are refused while what is queued would take longer than this to be computed, in seconds.",
    )
    offload_bytes: int = Field(
        MIB,
        ge=0,
        description="Bodies and answers of at least this many bytes are decoded and encoded beside the event loop.",
    )
    default_timeout_ms: int = Field(
        60_000,
        ge=0,
        description="How long an answer may take from the arrival of the request's head, in milliseconds, where the "
        "caller does not say (504 afterwards); 0: as long as it takes.",
    )
    max_timeout_ms: int = Field(
        600_000, ge=1, description="The longest time that a caller may ask for, in milliseconds; more counts as this."
    )
    worker_stall_seconds: float = Field(
        60.0,
        gt=0,
        description="How long a batch of up to 16 Mi elements may be computed before its worker counts as hung and is "
        "replaced, in seconds; larger ones have more in proportion.",
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
    drain_grace_seconds: int = Field(
        0,
        ge=0,
        description="How long new work is still taken after SIGTERM, while `/readyz` says 503 already, in seconds: "
        "about what it takes until nobody sends any more.",
    )
    drain_seconds: int = Field(
        30,
        ge=0,
        description="How long requests in flight may take to be answered after SIGTERM and that grace, in seconds.",
    )
    tls_cert_file: str = Field(
        "", description="A PEM file with the certificate (and the chain to it); with one, only HTTPS is served."
    )
    tls_key_file: str = Field("", description="A PEM file with the certificate's key, where it is another file.")
    tls_key_password: SecretStr = Field(SecretStr(""), description="The password of an encrypted key.")
    tls_ca_file: str = Field(
        "", description="A PEM file of authorities; with one, callers must show a certificate by one of them."
    )
    hsts_seconds: int = Field(
        0,
        ge=0,
        description="Where HTTPS is served here: how long browsers are to use nothing else for this host, in seconds, "
        "by `Strict-Transport-Security`; 0: they are not told.",
    )
    api_keys_file: str = Field(
        "", description="A TOML file of API keys (docs/access.md); where there are keys, callers need one."
    )
    api_keys: str = Field("", description="The same as a text, in place of a file.")
    public_docs: bool = Field(
        True, description="Whether `/docs` and `/openapi.json` are shown without a key, where callers need one."
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        [],
        description="Origins of pages that may read answers in a browser, such as `https://lab.example`; `*`: all.",
    )
    database_url: SecretStr = Field(
        SecretStr("sqlite:"),
        json_schema_extra={"default": "sqlite:"},
        description="Where evaluations are stored: `sqlite:////path/to/file`, `postgresql://user:password@host/name`, "
        "or `sqlite:` for `gradwire/evaluations.db` in the user's state folder; empty: evaluations are off.",
    )
    evaluation_max_samples: int = Field(100_000_000, ge=1, description="The most samples that one evaluation may have.")
    evaluation_max_bytes: int = Field(
        16 * 1024 * MIB, ge=MIB, description="The most bytes that all stored evaluations may take together, about."
    )
    evaluation_max_runs: int = Field(100_000, ge=1, description="The most evaluations that are stored.")
    evaluation_retention_days: int = Field(
        0, ge=0, description="Evaluations that have not changed for so many days are deleted; 0: none are."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="How a log line is written: for people, or one JSON object a line."
    )
    access_log: bool = Field(True, description="Whether every request is logged, with its id, status and durations.")
    metrics: bool = Field(True, description="Whether `/metrics` and `/v1/stats` are served.")
    metrics_dir: str = Field(
        "",
        description="An empty directory in which several processes tell each other their metrics; `gradwire serve` "
        "makes one for its workers where none is given.",
    )
    traces: Literal["none", "otlp", "console"] = Field(
        "none",
        description="Where OpenTelemetry traces go: by OTLP over HTTP as the `OTEL_*` variables tell, or to standard "
        "error; needs the extra `gradwire[otel]`.",
    )

    @field_validator("traces")
    @classmethod
    def _traces(cls, value: str) -> str:
        if value != "none":
            try:
                for package in ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"):
                    version(package)
            except PackageNotFoundError:
                raise ValueError("needs OpenTelemetry's packages: install gradwire[otel]") from None
        return value

    @field_validator("device")
    @classmethod
    def _device(cls, value: str) -> str:
        kind, _, index = value.partition(":")
        if value in ("auto", "cpu", "cuda") or (kind == "cuda" and index.isdigit()):
            return value
        raise ValueError("must be auto, cpu, cuda or cuda:N")

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return [origin.lower() for origin in re.split(r"[\s,]+", value) if origin]

    @field_validator("cors_origins")
    @classmethod
    def _origin(cls, value: list[str]) -> list[str]:
        for origin in value:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} must be scheme://host or scheme://host:port, without a path, or *")
        return value
