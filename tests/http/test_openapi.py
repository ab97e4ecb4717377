"""The OpenAPI document: valid, whole, and in the forms that generators understand."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import validate

from schemas.losses import ALIASES, LOSSES
from schemas.operations import OPERATIONS
from service.http.app import create_app
from service.http.edge import heads, incoming, refusals
from service.settings import Settings
from tests.asgi import InProcess


def test_the_document_is_made_once(client: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    first = client.get("/openapi.json")
    assert first.headers["content-type"] == "application/json"
    monkeypatch.delattr(client.app, "openapi")
    monkeypatch.setattr(type(client.app), "openapi", None)
    assert client.get("/openapi.json").content == first.content


def test_an_application_is_made_without_its_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    real = APIRoute.__init__

    def noted(route: APIRoute, path: str, *more: Any, **options: Any) -> None:
        made.append(path)
        real(route, path, *more, **options)

    monkeypatch.setattr(APIRoute, "__init__", noted)
    app = create_app(Settings(device="cpu", access_log=False, log_level="error"))
    computing = {f"/v1/losses/{name}" for name in (*LOSSES, *ALIASES)} | {cls.path for cls in OPERATIONS.values()}
    assert len(made) < 50
    assert not computing & set(made)
    described = {f"/v1/losses/{name}" for name in LOSSES} | {cls.path for cls in OPERATIONS.values()}
    assert computing & app.openapi()["paths"].keys() == computing & set(made) == described


@pytest.fixture(scope="module")
def document(client: InProcess) -> dict[str, Any]:
    """GET /openapi.json."""
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def properties(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Component, property and schema."""
    for component, schema in document["components"]["schemas"].items():
        for name, entry in schema.get("properties", {}).items():
            yield component, name, entry


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)


def test_a_tensor_is_one_component_in_words(document: dict[str, Any]) -> None:
    tensor = document["components"]["schemas"]["Tensor"]
    assert not tensor.keys() & {"type", "anyOf", "oneOf", "allOf", "$ref"}
    assert tensor["description"]
    assert tensor["examples"]
    assert [name for name in document["components"]["schemas"] if name.startswith("Tensor")] == ["Tensor"]
    for cls in LOSSES.values():
        schema = document["components"]["schemas"][cls.__name__]
        for name in cls.tensor_fields:
            assert schema["properties"][name]["$ref"] == "#/components/schemas/Tensor"


def test_any_loss_is_a_discriminated_union_of_all(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/loss"]["post"]["requestBody"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/AnyLoss"}
    schema = document["components"]["schemas"]["AnyLoss"]
    assert schema["title"] == "AnyLoss"
    assert schema["discriminator"]["propertyName"] == "loss"
    references = {one["$ref"] for one in schema["oneOf"]}
    assert len(references) == len(LOSSES) >= 23
    expected = {name: f"#/components/schemas/{cls.__name__}" for name, cls in LOSSES.items()}
    expected |= {alias: expected[name] for alias, name in ALIASES.items()}
    assert schema["discriminator"]["mapping"] == expected
    assert set(expected.values()) == references


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_an_operation_with_an_example_that_computes(
    document: dict[str, Any], client: InProcess, name: str
) -> None:
    operation = document["paths"][f"/v1/losses/{name}"]["post"]
    assert operation["operationId"] == name
    assert operation["tags"] == [LOSSES[name].about.family]
    assert operation["summary"]
    assert operation["description"]
    content = operation["requestBody"]["content"]["application/json"]
    assert content["schema"] == {"$ref": f"#/components/schemas/{LOSSES[name].__name__}"}
    response = client.post(json.dumps(content["example"]).encode(), f"/v1/losses/{name}")
    assert response.status_code == 200, response.text


def test_every_example_of_the_common_operation_computes(document: dict[str, Any], client: InProcess) -> None:
    content = document["paths"]["/v1/loss"]["post"]["requestBody"]["content"]["application/json"]
    assert set(content["examples"]) == set(LOSSES)
    for example in content["examples"].values():
        assert client.post(json.dumps(example["value"]).encode()).status_code == 200


def test_operations_have_ids_of_their_own(document: dict[str, Any]) -> None:
    found = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(found) == len(set(found))
    assert {"loss", "list_losses", "get_loss", "get_limits", "livez", "readyz"} <= set(found)


def test_a_loss_may_be_left_out_at_its_own_path_alone(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert all("loss" not in schemas[cls.__name__]["required"] for cls in LOSSES.values())
    assert schemas["AnyLoss"]["required"] == ["loss"]


def test_errors_are_problem_documents(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    assert "HTTPValidationError" not in text
    assert "ValidationError" not in document["components"]["schemas"]
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}, (path, method, status)
                assert set(response["content"]) == {"application/problem+json"}, (path, method, status)


def test_the_description_tells_every_status_that_is_answered_before_an_operation(document: dict[str, Any]) -> None:
    sources = [inspect.getsource(module) for module in (heads, incoming, refusals)]
    answered = {status for source in sources for status in re.findall(r'Refusal\("\w+", (\d+)', source)}
    told = document["info"]["description"].partition("Before any operation")[2]
    assert set(re.findall(r"\b[45]\d\d\b", told)) == answered


@pytest.mark.parametrize("path", ["/v1/loss", "/v1/losses/mse_loss"])
def test_a_computing_operation_tells_its_errors(document: dict[str, Any], path: str) -> None:
    told = set(document["paths"][path]["post"]["responses"])
    assert told == {
        *("200", "400", "401", "403", "406", "408", "413", "415", "422", "429", "500", "503", "504"),
    }


def test_every_operation_tells_what_all_may_answer(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        told = set(operation["responses"])
        assert "500" in told
        if not path.startswith("/v2"):
            assert "406" in told, path
        if path not in {"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"}:
            assert told >= {"401", "403", "429", "503"}, path


def test_every_answer_tells_of_its_headers(document: dict[str, Any], client: InProcess) -> None:
    known = document["components"]["headers"]
    for path, _, operation in operations(document):
        for status, response in operation["responses"].items():
            named = {"X-Request-ID", "Server-Timing"} | ({"Retry-After"} if status in {"429", "503"} else set())
            if operation["operationId"] == "create_evaluation" and status in {"200", "201"}:
                named.add("Location")
            assert set(response["headers"]) == named, (path, status)
            assert {one["$ref"].rpartition("/")[2] for one in response["headers"].values()} <= set(known)
    for path in ("/livez", "/v1/losses", "/v2/models/mse_loss", "/nowhere"):
        assert client.get(path).headers.keys() >= {"x-request-id", "server-timing"}


def test_a_key_may_be_sent_and_need_not_be(document: dict[str, Any]) -> None:
    (name,) = document["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"][name]["type"] == "http"
    assert document["components"]["securitySchemes"][name]["scheme"] == "bearer"
    assert document["security"] == [{}, {name: []}]


def test_only_what_is_public_does_without_a_key(document: dict[str, Any]) -> None:
    public = set()
    for path, method, operation in operations(document):
        refusals = {"401", "403", "429"} & set(operation["responses"])
        if operation.get("security") == []:
            public.add(path)
            assert not refusals, (path, method)
        else:
            assert "security" not in operation, (path, method)
            assert len(refusals) == 3, (path, method)
    assert public == {"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"}


def test_json_is_the_first_form_of_every_body_and_answer(document: dict[str, Any]) -> None:
    """Most generators take the first that they find."""
    for path, method, operation in operations(document):
        if path == "/metrics" or path.endswith("/events"):  # which are no JSON at all
            continue
        done = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        for told in (operation.get("requestBody", {}), *done):
            assert next(iter(told.get("content", {})), "application/json") == "application/json", (path, method)


@pytest.mark.parametrize("path", ["/v1/loss", "/v1/losses/mse_loss"])
def test_a_computing_operation_tells_of_its_binary_form(document: dict[str, Any], path: str) -> None:
    operation = document["paths"][path]["post"]
    for told in (operation["requestBody"], operation["responses"]["200"]):
        assert told["content"]["application/vnd.safetensors"]["schema"]["format"] == "binary"


def test_numbers_are_doubles(document: dict[str, Any]) -> None:
    found = [
        kind.get("format")
        for _, _, entry in properties(document)
        for kind in (entry, *entry.get("anyOf", ()))
        if kind.get("type") == "number"
    ]
    assert set(found) == {"double"}
    assert {"type": "number", "format": "double"} in document["components"]["schemas"]["LossAnswer"]["properties"][
        "divisor"
    ]["anyOf"]


def test_no_default_is_null(document: dict[str, Any]) -> None:
    assert [(where, name) for where, name, entry in properties(document) if entry.get("default", 0) is None] == []


def test_every_property_has_a_description(document: dict[str, Any]) -> None:
    bare = [(where, name) for where, name, entry in properties(document) if not entry.get("description")]
    assert bare == []


def test_every_parameter_and_operation_has_a_summary(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        assert operation["summary"], (path, method)
        assert operation.get("description"), (path, method)
        for parameter in operation.get("parameters", []):
            assert parameter.get("description") or parameter["schema"].get("description"), (path, parameter["name"])


def test_a_request_takes_no_other_members(document: dict[str, Any]) -> None:
    for cls in LOSSES.values():
        assert document["components"]["schemas"][cls.__name__]["additionalProperties"] is False


def test_components_of_evaluations_say_so(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/evaluations/{id}/report"]["get"]["responses"]["200"]["content"]
    waiting, seen = [content["application/json"]["schema"]["$ref"].rpartition("/")[2]], set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        told = json.dumps(document["components"]["schemas"][name])
        waiting += set(re.findall(r"#/components/schemas/(\w+)", told)) - seen
    assert len(seen) > 10
    assert [name for name in seen if not name.startswith("Evaluation")] == []
