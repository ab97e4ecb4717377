"""docs/expressions.md tells of every function, and of every bound as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from schemas.expression import FUNCTIONS, lexicon
from schemas.expression.read import MAX_DEPTH, MAX_NODES
from schemas.losses import ANY_LOSS
from schemas.losses.expression import MAX_CONSTANTS
from schemas.tensor import MAX_TENSORS
from schemas.terms import MAX_TERMS
from service.compute import compute, open_device

PAGE = (Path(__file__).parents[2] / "docs" / "expressions.md").read_text(encoding="utf-8")


def test_the_table_has_every_function_as_it_is() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert rows == [(function.signature(), function.meaning) for function in FUNCTIONS.values()]


def test_the_bounds_are_as_they_are() -> None:
    told = " ".join(PAGE.partition("## Bounds")[2].split())
    for bound, what in (
        (f"{lexicon.MAX_TEXT:,}", "characters"), (f"{lexicon.MAX_WORDS:,}", "names"), (lexicon.MAX_BRACKETS, "open"),
        (MAX_DEPTH, "levels"), (MAX_NODES, "steps"), (MAX_TENSORS, "tensors"), (MAX_CONSTANTS, "constants"),
        (MAX_TERMS, "terms"),
    ):  # fmt: skip
        assert f"{bound} {what}" in told


@pytest.mark.parametrize("text", re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
def test_its_examples_compute(text: str) -> None:
    request = ANY_LOSS.validate_python(json.loads(text))
    [result] = compute([request], open_device("cpu"))
    assert result.loss > 0
    assert not result.warnings
