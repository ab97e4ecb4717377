"""A strategy for every loss: `case("mse_loss")` yields valid requests, `mix("mse_loss")` such as may be stacked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import hypothesis.strategies as st
import numpy as np
from hypothesis.strategies import DrawFn, SearchStrategy

from schemas.dtype import is_floating
from schemas.losses import LOSSES
from tests.losses.draw import DTYPES, Array, Draw
from tests.losses.families import BUILDERS

Request = dict[str, Any]


def case(name: str, dtypes: Sequence[str] = DTYPES) -> SearchStrategy[Request]:
    """Valid requests of this loss: every form, option, type, reduction, gradient and cotangent."""
    return _request(name, None, tuple(dtypes))


@st.composite
def alike(draw: DrawFn, name: str, most: int, dtypes: Sequence[str] = DTYPES) -> list[Request]:
    """Up to `most` requests with the same options, type and trailing shape: those that may be stacked."""
    memo: dict[str, Any] = {}
    size = draw(st.integers(1, most))
    return [draw(_request(name, memo, tuple(dtypes))) for _ in range(size)]


@st.composite
def mix(draw: DrawFn, name: str, most: int = 24) -> list[Request]:
    """2 to `most` requests of one loss, in groups of like ones, shuffled."""
    found: list[Request] = draw(alike(name, most - 1))
    while len(found) < 2 or (len(found) < most and draw(st.booleans())):
        found += draw(alike(name, most - len(found)))
    return draw(st.permutations(found))


@st.composite
def _request(draw: DrawFn, name: str, memo: dict[str, Any] | None, dtypes: tuple[str, ...]) -> Request:
    d = Draw(draw, {} if memo is None else memo, dtypes)
    request = BUILDERS[name](d)
    unreduced = request.pop("_")
    known = LOSSES[name].model_fields["reduction"]
    reduction = d.own(st.sampled_from(get_args(known.annotation)))
    if reduction != known.default or d.flag():
        request["reduction"] = reduction
    if d.flag():
        request["cotangent"] = d.floats(unreduced if reduction == "none" else ())
    if d.own(st.integers(0, 5)) == 0:
        request["on_empty"] = "zero"
    _choose_gradients(d, name, request)
    if memo is None:
        _choose_forms(d, request)
    return {"loss": name, **request}


def differentiable(name: str, request: Request) -> list[str]:
    """The tensors of a request that gradients may be asked for in, by the loss's own contract."""
    found = []
    for member, spec in LOSSES[name].tensor_fields.items():
        target = LOSSES[name].tensor_fields.get("target")
        probabilities = target is not None and target.probabilities and is_floating(request["target"].dtype)
        if member in request and (
            spec.differentiable == "always" or (spec.differentiable == "with probabilities" and probabilities)
        ):
            found.append(member)
    for at, cluster in enumerate(request.get("tail", [])):
        found += [f"tail.{at}.{part}" for part in cluster]
    if "terms" in request:
        return ["logits"]  # a target of no gradient in some term has none in the sum
    return [*found, *request.get("tensors", {})]


def _choose_gradients(d: Draw, name: str, request: Request) -> None:
    known = differentiable(name, request)
    chosen = d.own(st.one_of(st.none(), st.just(known), st.lists(st.sampled_from(known), unique=True)))
    if chosen is not None:
        request["gradients"] = chosen


def _choose_forms(d: Draw, request: Request) -> None:
    """Typed arrays as they are; or all in float64 with `dtype` told; or nested lists where these can hold the shape."""
    form = d.own(st.sampled_from(("arrays", "told", "lists")))
    if form == "arrays":
        return
    request["dtype"] = d.dtype
    for member, value in list(request.items()):
        if isinstance(value, np.ndarray):
            request[member] = _rewritten(value, form)
    if "tensors" in request:
        request["tensors"] = {name: _rewritten(value, form) for name, value in request["tensors"].items()}


def _rewritten(value: Array, form: str) -> Any:
    wide = value.astype(np.float64) if is_floating(value.dtype) else value
    if form == "lists" and value.size:
        return (wide.astype(np.int64) if wide.dtype == np.bool_ else wide).tolist()  # lists hold numbers
    return wide
