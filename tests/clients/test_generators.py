"""Six generators make a whole client of the document, and complain of nothing that callers would miss."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tests.binary import MEDIA_TYPE
from tests.clients.generating import GENERATORS, Client, plain

LANGUAGES = [generator.language for generator in GENERATORS]

# What they say of any such document; nothing is missing from the client for it.
HARMLESS = re.compile(
    r"OpenAPI 3\.1 support is still in beta"
    r"|Failed to get the schema name: null"  # Tensor: words without a type
    r"|invalid optional definition of loss"  # a loss's own operation does without it
    r"|Ignoring complex example"  # examples stay in the document
    r"|cannot be used as a (model|field/variable|enum variant) name. Renamed to"  # by the rules of Rust
)
COMPLAINT = re.compile(r"WARN|ERROR|\[error\]|Exception")


@pytest.fixture(scope="module", autouse=True)
def _side_by_side(client_in: Callable[[str], Future[Client]]) -> None:
    """All are begun before the first is waited for."""
    for language in LANGUAGES:
        client_in(language)


def _assert_only_the_binary_form_is_left_out(printed: str, document: dict[str, Any]) -> None:
    """The Python client speaks JSON alone, and says so for each operation that takes safetensors too."""
    warned = re.findall(r"^WARNING parsing POST (/v1/\S+) within [^\n]*\n\n([^\n]+)\n", printed, re.MULTILINE)
    assert len(warned) == printed.count("WARNING"), printed
    bodies = {path: item.get("post", {}).get("requestBody", {}) for path, item in document["paths"].items()}
    binary = [path for path, body in bodies.items() if MEDIA_TYPE in body.get("content", {})]
    assert sorted(warned) == [(path, f"Unsupported content type {MEDIA_TYPE}") for path in sorted(binary)], printed


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_generator_complains_of_nothing(
    language: str, client_in: Callable[[str], Future[Client]], document: dict[str, Any]
) -> None:
    client = client_in(language).result()
    printed = client.printed.splitlines()
    if language == "python":
        assert printed[0] == f"Generating {client.folder}"
        _assert_only_the_binary_form_is_left_out("\n".join(printed[1:]), document)
        return
    told = [line for line in printed if COMPLAINT.search(line) and " INFO " not in line]
    assert [line for line in told if not HARMLESS.search(line)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_has_every_operation_with_its_typed_answer(
    language: str, client_in: Callable[[str], Future[Client]], document: dict[str, Any]
) -> None:
    found = client_in(language).result().operations()
    for item in document["paths"].values():
        for operation in item.values():
            name = plain(operation["operationId"])
            assert name in found
            done = next(answer for status, answer in sorted(operation["responses"].items()) if status.startswith("2"))
            schema = done.get("content", {}).get("application/json", {}).get("schema", {})
            if "$ref" in schema:
                assert found[name] == plain(schema["$ref"].rpartition("/")[2]), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_has_every_model(
    language: str, client_in: Callable[[str], Future[Client]], document: dict[str, Any]
) -> None:
    expected = {plain(name) for name, schema in document["components"]["schemas"].items() if "properties" in schema}
    assert expected - client_in(language).result().models() == set()
