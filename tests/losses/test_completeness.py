"""A loss is complete: request class, formula, strategy, and an example that runs."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.catalogue import catalogue, example
from schemas.losses import ALIASES, ANY_LOSS, LOSSES, resolve
from schemas.losses.composite import Composite
from service.compute import compute, open_device
from service.losses.formula import FORMULAS
from tests.losses.families import BUILDERS
from tests.losses.reference import reference


def test_every_loss_has_a_formula_and_every_formula_a_loss() -> None:
    own = set(LOSSES.values()) - {Composite}  # which is made of others'
    assert {cls for cls in FORMULAS if cls.name in LOSSES} == own


def test_every_loss_has_a_strategy_and_every_strategy_a_loss() -> None:
    assert set(BUILDERS) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_its_example_runs_and_is_what_it_must_be(name: str) -> None:
    request = example(LOSSES[name])
    found = compute([ANY_LOSS.validate_python(request)], open_device("cpu"))[0]
    expected = reference(request)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5)
    assert list(found.gradients) == list(expected.gradients) != []
    for tensor, gradient in expected.gradients.items():
        np.testing.assert_allclose(found.gradients[tensor], gradient, rtol=1e-5, atol=1e-7, err_msg=tensor)


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_names_the_same_loss(alias: str) -> None:
    name = ALIASES[alias]
    assert alias in LOSSES[name].aliases
    assert resolve(alias) is resolve(name) is LOSSES[name]
    request = {**example(LOSSES[name]), "loss": alias}
    assert type(ANY_LOSS.validate_python(request)) is LOSSES[name]


def test_the_catalogue_has_every_loss_whole() -> None:
    entries = catalogue().losses
    assert [entry.name for entry in entries] == list(LOSSES)
    for entry in entries:
        assert entry.summary.endswith(".")
        assert all(text for text in (entry.family, entry.formula, entry.mean, entry.source))
        assert all(tensor.description for tensor in entry.tensors)
        assert {tensor.name for tensor in entry.tensors} >= set(entry.gradients)


@pytest.mark.parametrize("name", LOSSES)
def test_its_json_schema_describes_every_member(name: str) -> None:
    schema = LOSSES[name].model_json_schema()
    assert schema["additionalProperties"] is False
    for member, entry in schema["properties"].items():
        assert member == "loss" or entry.get("description"), member
        assert entry.get("default", ...) is not None, "null is no option"
    required = {member for member, info in LOSSES[name].model_fields.items() if info.is_required()}
    assert set(schema.get("required", [])) == required
    tensor = schema["$defs"]["Tensor"]
    assert not {"type", "anyOf", "oneOf"} & set(tensor)
    if LOSSES[name].predictions and required >= set(LOSSES[name].predictions):
        assert schema["properties"]["gradients"]["default"] == list(LOSSES[name].predictions)
    assert all(tensor in schema["properties"]["gradients"]["description"] for tensor in LOSSES[name].predictions)
