"""Whatever the bytes are, a decoder makes a checked request of them or refuses them with faults that can be told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from schemas.losses import LOSSES
from schemas.problem import InvalidRequest
from schemas.request import LossRequest
from service.http.problems import render
from service.wire import json as wire_json
from service.wire import safetensors
from tests.binary import CODES, forge

TRIED = settings(max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck))
Decode = Callable[..., LossRequest]
DECODERS = {"JSON": wire_json.decode, "safetensors": safetensors.decode}
each_decoder = pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)

MEMBERS = sorted({name for cls in LOSSES.values() for name in cls.model_fields} | {"tail.0.output", "__metadata__", ""})
NAMES = st.one_of(st.sampled_from(MEMBERS), st.text(max_size=5))
NUMBERS = st.one_of(st.integers(), st.integers(0, 9), st.floats())
TEXTS = st.one_of(st.text(max_size=8), st.sampled_from([*LOSSES, *CODES.values(), "mean", "NaN", "float32", "AAAA"]))
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
ANY = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4))
VALUES = ANY | st.lists(NUMBERS, max_size=4)


def of(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the loss's own members, and perhaps others'."""
    own, others = (st.dictionaries(st.sampled_from(names), VALUES, max_size=6) for names in (OWN[name], MEMBERS))
    return st.tuples(others, own).map(lambda drawn: {**drawn[0], **drawn[1], "loss": name})


OWN = {name: sorted(cls.model_fields) for name, cls in LOSSES.items()}
OBJECTS = st.sampled_from(list(LOSSES)).flatmap(of)
SIZES = st.lists(st.integers(0, 4) | st.integers(-1, 2**64), max_size=4)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*CODES.values(), "U64"]),
        "shape": SIZES,
        "data_offsets": st.lists(st.integers(0, 64), min_size=2, max_size=2) | SIZES,
    }
)


def check(decode: Decode, body: bytes, limit: int = 1 << 12) -> None:
    """A request or faults, and these can be told."""
    try:
        request = decode(body, None, max_elements=limit)
    except InvalidRequest as error:
        status, _, document = render(error, "/v1/loss")
        assert orjson.loads(document)["status"] == status
        assert status in (400, 413, 415, 422)
    else:
        assert request.checked.layout.elements <= limit


@each_decoder
@TRIED
@given(body=st.binary(max_size=300))
def test_any_bytes(decode: Decode, body: bytes) -> None:
    check(decode, body)


@TRIED
@given(value=OBJECTS | ANY)
def test_any_json(value: Any) -> None:
    check(wire_json.decode, json.dumps(value).encode())


@TRIED
@given(header=ANY, data=st.binary(max_size=64))
def test_any_header(header: Any, data: bytes) -> None:
    check(safetensors.decode, forge(header, data))


@TRIED
@given(tensors=st.dictionaries(NAMES, ENTRIES | ANY, max_size=5), members=OBJECTS | ANY, data=st.binary(max_size=64))
def test_any_tensors(tensors: dict[str, Any], members: Any, data: bytes) -> None:
    check(safetensors.decode, forge({**tensors, "__metadata__": {"request": json.dumps(members)}}, data))
