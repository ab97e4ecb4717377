"""The dashboard, the alert rules and the page about them speak of metrics and labels that there are, and of all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.http.metrics.families import FAMILIES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "observability.md").read_text()
RULES = yaml.safe_load((ROOT / "deploy" / "grafana" / "rules.yaml").read_text())
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())
COMPOSE = ROOT / "deploy" / "compose"

FOREIGN = {"up": set[str]()}
"""Metrics that Prometheus itself makes."""
TARGET = {"job", "instance"}
"""Labels that Prometheus adds."""
FUNCTIONS = {
    *("absent", "changes", "histogram_quantile", "increase", "rate", "time", "vector"),
    *("max", "min", "sum", "by", "or"),
}


def exported() -> dict[str, set[str]]:
    """Every series that can be asked for, with its labels."""
    found: dict[str, set[str]] = {name: set(labels) for name, labels in FOREIGN.items()}
    for name, family in FAMILIES.items():
        labels = set(family.labels)
        if family.kind == "histogram":
            found |= {f"{name}_sum": labels, f"{name}_count": labels, f"{name}_bucket": labels | {"le"}}
        else:
            found[name] = labels
    return found


def asked(expression: str) -> dict[str, set[str]]:
    """The series that an expression reads, with the labels that its matchers name. Raises `AssertionError`."""
    found: dict[str, set[str]] = {}
    bare = re.sub(r"\[[^\]]*\]", "", expression)
    for name, _, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\s*(\{([^}]*)\})?", re.sub(r"by \([^)]*\)", "", bare)):
        if name in FUNCTIONS:
            continue
        rest = re.sub(r"(\w+)\s*(=~|!~|!=|=)\s*(\"[^\"]*\"|'[^']*')", r"\1", matchers)
        found.setdefault(name, set()).update(part.strip() for part in rest.split(",") if part.strip())
    return found


def grouped(expression: str) -> set[str]:
    """The labels that an expression groups by."""
    return {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}


def expressions() -> Iterator[tuple[str, str]]:
    """All of the dashboard and of the rules, each with where it stands."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield f"panel {panel['title']}", target["expr"]
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"]


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def unknown(expression: str) -> list[str]:
    """What an expression asks for that there is not."""
    known, reads = exported(), asked(expression)
    wrong = [name for name in reads if name not in known]
    labels = set[str]().union(*[known.get(name, set()) for name in reads])
    wrong += [
        f"{name}{{{label}}}" for name, named in reads.items() for label in named - TARGET - known.get(name, set())
    ]
    return wrong + [f"by ({label})" for label in grouped(expression) - TARGET - labels]


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_is_asked_for_is_exported(where: str, expression: str) -> None:
    assert asked(expression), where
    assert unknown(expression) == []


def test_what_is_not_exported_would_be_seen() -> None:
    assert unknown('sum by (le) (rate(gradwire_nothing_bucket{job="x"}[5m]))') == ["gradwire_nothing_bucket", "by (le)"]
    assert unknown("rate(gradwire_requests_total{verb='GET'}[5m])") == ["gradwire_requests_total{verb}"]
    assert unknown("sum by (color) (gradwire_ready)") == ["by (color)"]
    assert unknown("gradwire_batch_requests") == ["gradwire_batch_requests"]


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for where, expression in expressions() if where.startswith("panel") for name in asked(expression)}
    for name in FAMILIES:
        assert {name, f"{name}_bucket", f"{name}_sum"} & shown, name


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_page_lists_every_metric_and_nothing_else() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    expected = [
        f"| `{name}` | {family.kind} | {', '.join(f'`{label}`' for label in family.labels) or 'none'} | {family.help} |"
        for name, family in FAMILIES.items()
    ]
    assert rows == expected


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    headings = set(re.findall(r"^### (Gradwire\w+)$", PAGE, re.MULTILINE))
    assert headings == {rule["alert"] for rule in rules()}
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/observability.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_metrics_follow_prometheus_rules_for_names() -> None:
    for name, family in FAMILIES.items():
        assert re.fullmatch(r"(gradwire|process)_[a-z_]+", name)
        assert name.endswith("_total") == (family.kind == "counter"), name
        assert family.help.endswith("."), name
        assert not re.search(r"milli|micro|_ms\b|kilo|mega", name), name


def test_compose_mounts_files_that_there_are() -> None:
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    mounted = [volume for name in ("prometheus", "grafana") for volume in services[name]["volumes"]]
    assert len(mounted) == 5
    for volume in mounted:
        assert (COMPOSE / volume.split(":")[0]).is_file(), volume
    assert services["prometheus"]["profiles"] == services["grafana"]["profiles"] == ["monitoring"]
