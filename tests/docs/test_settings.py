"""docs/settings.md lists every setting, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
HEAD = ["| Variable | Default | Values | Meaning |", "|---|---|---|---|"]


def values(schema: dict[str, Any]) -> str:
    """What a setting may be, in words."""
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if schema["type"] == "boolean":
        return "`true`, `false`"
    if schema["type"] == "string":
        return "text"
    kind = "whole number" if schema["type"] == "integer" else "number"
    if "maximum" in schema:
        return f"{kind}, {schema['minimum']} to {schema['maximum']}"
    if "exclusiveMinimum" in schema:
        return f"{kind} above {schema['exclusiveMinimum']:g}"
    return f"{kind}, {schema['minimum']} or more"


def rows() -> list[str]:
    """The table's rows, in the order of the fields."""
    made = []
    for name, schema in Settings.model_json_schema()["properties"].items():
        default = schema["default"]
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        shown = "none" if default == "" else f"`{shown}`"
        variable = f"GRADWIRE_{name.upper()}"
        made.append(f"| `{variable}` | {shown} | {values(schema)} | {schema['description']} |")
    return made


def test_every_setting_is_listed_with_its_default_and_description_and_nothing_else_is() -> None:
    table = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    assert table == HEAD + rows()


def test_every_setting_is_in_the_schema_with_a_description() -> None:
    assert list(Settings.model_json_schema()["properties"]) == list(Settings.model_fields)
    assert all(field.description for field in Settings.model_fields.values())


def test_no_other_variable_is_named_on_the_page() -> None:
    known = {f"GRADWIRE_{name.upper()}" for name in Settings.model_fields}
    words = PAGE.read_text().replace("`", " ").replace("=", " ").split()
    assert {word for word in words if word.startswith("GRADWIRE_") and word != "GRADWIRE_*"} <= known
