"""A loss by its name, by its alias, in the body and in the path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.losses import ALIASES, LOSSES
from tests.asgi import InProcess

TORCHS = 23


def example(client: InProcess, name: str) -> dict[str, Any]:
    """The catalogue's example of a loss."""
    found: dict[str, Any] = client.get(f"/v1/losses/{name}").json()["example"]
    return found


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_the_same_at_its_own_path(client: InProcess, name: str) -> None:
    request = example(client, name)
    body = json.dumps(request).encode()
    unnamed = json.dumps({member: value for member, value in request.items() if member != "loss"}).encode()
    anywhere = client.post(body)
    assert anywhere.status_code == 200
    assert client.post(body, f"/v1/losses/{name}").content == anywhere.content
    assert client.post(unnamed, f"/v1/losses/{name}").content == anywhere.content


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_taken_in_body_and_path(client: InProcess, alias: str) -> None:
    name = ALIASES[alias]
    request = example(client, name)
    plain = client.post(json.dumps(request).encode()).content
    renamed = json.dumps(request | {"loss": alias}).encode()
    assert client.post(renamed).content == plain
    assert client.post(renamed, f"/v1/losses/{alias}").content == plain
    assert client.post(renamed, f"/v1/losses/{name}").content == plain
    assert client.post(json.dumps(request).encode(), f"/v1/losses/{alias}").content == plain


@pytest.mark.parametrize("other", ["l1_loss", "L1Loss", "nope", None, 5])
def test_another_loss_than_the_paths_is_refused(client: InProcess, other: Any) -> None:
    faults = client.faults(None, "/v1/losses/mse_loss", loss=other, input=[1.0], target=[0.0])
    assert list(faults) == ["/loss"]


def test_another_loss_than_the_paths_does_not_hide_other_faults(client: InProcess) -> None:
    faults = client.faults(None, "/v1/losses/mse_loss", loss="l1_loss", input=[1.0], target=[0.0, 1.0])
    assert list(faults) == ["/loss", "/target"]


def test_the_catalogue_lists_every_loss(client: InProcess) -> None:
    losses = client.get("/v1/losses").json()["losses"]
    assert [entry["name"] for entry in losses] == list(LOSSES)
    assert sum(entry["source"].startswith("torch.") for entry in losses) == TORCHS
    for entry in losses:
        assert client.get(f"/v1/losses/{entry['name']}").json() == entry
        for alias in entry["aliases"]:
            assert client.get(f"/v1/losses/{alias}").json() == entry


@pytest.mark.parametrize("name", LOSSES)
def test_an_entry_tells_all_that_a_caller_needs(client: InProcess, name: str) -> None:
    entry = client.get(f"/v1/losses/{name}").json()
    for member in ("summary", "formula", "family", "mean", "batching", "unreduced", "source"):
        assert entry[member], member
    for tensor in entry["tensors"]:
        assert tensor["dims"]
        assert tensor["description"]
    for option, schema in entry["options"].items():
        assert schema["description"], option
    given = {tensor["name"] for tensor in entry["tensors"] if tensor["required"]}
    sample = entry["example"]
    assert given <= sample.keys() | {f"tensors.{own}" for own in sample.get("tensors", {})}
    assert "reduction" in entry["options"]


@pytest.mark.parametrize(("asked", "meant"), [("cros_entropy", "cross_entropy"), ("MSELos", "MSELoss")])
def test_an_unknown_loss_is_told_which_it_may_have_meant(client: InProcess, asked: str, meant: str) -> None:
    (detail,) = client.faults(None, loss=asked, input=[1.0]).values()
    assert detail.startswith(f"there is no loss '{asked}'; did you mean {meant}? there are nll_loss, ")


def test_a_name_like_no_loss_is_told_which_there_are(client: InProcess) -> None:
    (detail,) = client.faults(None, loss="#", input=[1.0]).values()
    assert detail.startswith("there is no loss '#'; there are nll_loss, ")
