"""Bodies of batch calls to requests: each is checked by itself, and what is wrong with one is kept in its place.

JSON: `{"requests": [<request>, ...]}`. safetensors: the same object without its tensors, under the key `request` of
`__metadata__`; the tensors are named by position and member, such as `0.input` and `3.tail.0.output`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from schemas.batch import ID, MAX_ID
from schemas.dims import extent
from schemas.faults import Suggestions
from schemas.problem import INVALID, MALFORMED, TOO_LARGE, Fault, InvalidRequest, pointer
from schemas.request import LossRequest
from schemas.tensor import MAX_TENSORS, Reading
from schemas.tensor_request import MAX_MEMBERS
from service.wire import json, large_json, safetensors
from service.wire.bundles import Part, bundles
from service.wire.members import place, validate

Buffer = bytes | bytearray | memoryview
Id = str | int
Faults = dict[int, list[Fault]]
"""What is wrong with requests, by position."""

MAX_CALL_MEMBERS: Final = 1 << 16
"""Members of all requests of a call together; each unknown one would be a fault to tell."""

MAX_CALL_TEXT: Final = 1 << 17
"""Characters of the expressions of a call together: each takes up to 20 microseconds to read."""

BYTES_A_LIST: Final = 256
"""Bytes of body for each list in it from which on lists are taken to be long enough for the reader of large bodies."""


SUGGESTIONS: Final = 64
"""Unknown members of all requests of a call for which a like name is looked up."""


class Limits(NamedTuple):
    """What a call may ask for: a number of losses, and the elements that they may need, each and together."""

    losses: int
    elements: int


@dataclass(slots=True)
class Call:
    """What a batch call asks for: sound requests, those that are alike in bundles, and faulty ones, by position."""

    ids: list[Id | None] = field(default_factory=list)
    requests: dict[int, LossRequest] = field(default_factory=dict)
    bundles: list[Part] = field(default_factory=list)
    invalid: dict[int, InvalidRequest] = field(default_factory=dict)


def decode_json(body: Buffer, limits: Limits) -> Call:
    """The call in a JSON body. Raises `InvalidRequest` where there is no list of requests, or too long a one."""
    body = bytes(body)
    if len(body) >= large_json.LEAST_BYTES and body.count(b"[") * BYTES_A_LIST < len(body):
        call = _large(body, limits)
        if call is not None:
            return call
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise json.malformed(json.no_json(body, error)) from None
    if type(document) is not dict:
        raise json.malformed("the body is no JSON object")
    items = _requests_of(document, limits)
    plain = b"true" not in body and b"false" not in body
    reading = Reading(plain, limits.elements, suggestions=Suggestions(SUGGESTIONS))
    return _call(items, reading, limits, depth=json.check_depth)


def _large(body: bytes, limits: Limits) -> Call | None:
    """The call; `None` where anything is invalid, to be read again to tell what is wrong as for any body."""
    document = large_json.read(body)
    if type(document) is not dict:
        return None
    try:
        items = _requests_of(document, limits)
    except InvalidRequest:
        return None
    call = _call(
        items, Reading(plain=False, max_elements=limits.elements, suggestions=Suggestions(SUGGESTIONS)), limits
    )
    return None if call.invalid else call


def decode_safetensors(body: Buffer, limits: Limits) -> Call:
    """The call in a safetensors body.

    Raises `InvalidRequest` where the file is not sound, there is no list of requests, or a tensor belongs to none.
    """
    file = safetensors.read(body, MAX_TENSORS * limits.losses)
    items = _requests_of(safetensors.request_of(file), limits)
    found: Faults = {}
    counts = [0] * len(items)
    strays: list[Fault] = []
    for name, tensor in file.tensors.items():
        at, member = position(name, len(items))
        if at is None:
            detail = "belongs to no request: tensors are named by a request's position and a member, such as 0.input"
            strays.append(Fault(pointer(name), detail))
            continue
        counts[at] += 1
        if type(items[at]) is dict and counts[at] <= MAX_TENSORS:
            faults: list[Fault] = []
            place(items[at], member, tensor, faults)
            if faults:
                found.setdefault(at, []).extend(faults)
    if strays:
        raise InvalidRequest(strays)
    for at, count in enumerate(counts):
        if count > MAX_TENSORS:
            found[at] = [Fault("", f"{count} tensors; at most {MAX_TENSORS} are taken", INVALID)]
    return _call(
        items, Reading(plain=False, max_elements=limits.elements, suggestions=Suggestions(SUGGESTIONS)), limits, found
    )


def position(name: str, count: int) -> tuple[int | None, str]:
    """The request that a tensor belongs to, and its member there."""
    index, dot, member = name.partition(".")
    if not dot or len(index) > 4 or not (index.isascii() and index.isdigit()) or (index[0] == "0" and index != "0"):
        return None, name
    at = int(index)
    return (at if at < count else None), member


def _requests_of(document: dict[str, Any], limits: Limits) -> list[Any]:
    """The list of requests in a body's object. Raises `InvalidRequest`."""
    faults = [Fault(pointer(name), "unknown member") for name in list(document)[:MAX_MEMBERS] if name != "requests"]
    items = document.get("requests")
    if "requests" not in document:
        faults.append(Fault("/requests", "required, but missing"))
    elif type(items) is not list:
        faults.append(Fault("/requests", "a list of requests is needed here"))
    elif len(items) > limits.losses:
        detail = f"the call asks for {len(items)} losses; the limit is {limits.losses}"
        faults.append(Fault("/requests", detail, TOO_LARGE))
    else:
        members = sum([len(item) for item in items if type(item) is dict])
        if members > MAX_CALL_MEMBERS:
            detail = f"the requests have {members} members together; the limit is {MAX_CALL_MEMBERS}"
            faults.append(Fault("/requests", detail, TOO_LARGE))
    if faults or type(items) is not list:
        raise InvalidRequest(faults)
    return items


def _call(
    items: list[Any],
    reading: Reading,
    limits: Limits,
    found: Faults | None = None,
    depth: Callable[[Any], None] | None = None,
) -> Call:
    """Every request checked. `found`: faults that are known already; `depth` raises where one is nested too deep."""
    faults: Faults = {} if found is None else found
    call = Call([None] * len(items))
    for at in [at for at, item in enumerate(items) if type(item) is dict and "id" in item]:
        call.ids[at] = _id(items[at].pop("id"), at, faults)
    call.bundles = bundles(items, faults.keys(), reading)
    bundled: set[int] = set()
    bundled.update(*[part.positions for part in call.bundles])
    if len(bundled) < len(items):
        text = 0
        for at in [at for at in range(len(items)) if at not in bundled]:
            try:
                text = _with_text(items[at], text)
                call.requests[at] = _checked(items[at], reading, faults.get(at, []), depth)
            except InvalidRequest as error:
                call.invalid[at] = error
    _hold_to_budget(call, limits)
    return call


def _with_text(item: Any, before: int) -> int:
    """The characters of a call's expressions, with those of this request. Raises `InvalidRequest` if they are too many.

    Nothing is read for it, nor is anything remembered: what is refused does not depend on other calls.
    """
    if type(item) is not dict or ("expression" not in item and "terms" not in item):
        return before
    terms = item.get("terms")
    holders = [item, *(terms if type(terms) is list else ())]
    texts = [holder.get("expression") for holder in holders if type(holder) is dict]
    own = sum([len(text) for text in texts if type(text) is str])
    if before + own > MAX_CALL_TEXT:
        detail = (
            f"the request has expressions of {own} characters, and those before it in this call of {before}; the limit "
            f"for all together is {MAX_CALL_TEXT}: send it in another call"
        )
        raise InvalidRequest([Fault("", detail, TOO_LARGE)])
    return before + own


def _checked(
    item: Any, reading: Reading, faults: list[Fault], depth: Callable[[Any], None] | None = None
) -> LossRequest:
    """One request. Raises `InvalidRequest` with `faults` and its own."""
    if type(item) is not dict:
        raise InvalidRequest([Fault("", "the request is no JSON object", MALFORMED)])
    try:
        request = validate(item, None, reading)
    except InvalidRequest as error:
        if depth is not None:
            depth(item)
        raise InvalidRequest(faults + error.faults, error.loss) from None
    if faults:
        raise InvalidRequest(faults)
    return request


def _id(found: Any, at: int, faults: Faults) -> Id | None:
    """The id of the request at that position."""
    if (type(found) is str and 0 < len(found) <= MAX_ID) or (type(found) is int and -(2**63) <= found < 2**63):
        return found
    faults.setdefault(at, []).append(Fault("/id", f"{ID[0].lower()}{ID[1:]} is needed here"))
    return None


def _hold_to_budget(call: Call, limits: Limits) -> None:
    """Refuse, in order, the requests for which the call has no elements left."""
    needed = {at: needs(request) for at, request in call.requests.items()}
    total = sum(needed.values()) + sum([part.bundle.size * needs(part.bundle.first) for part in call.bundles])
    if total <= limits.elements:
        return
    for part in call.bundles:
        needed.update(dict.fromkeys(part.positions, needs(part.bundle.first)))
    spent = 0
    for at in sorted(needed):
        if spent + needed[at] <= limits.elements:
            spent += needed[at]
            continue
        detail = (
            f"the request needs {needed[at]} elements, and those before it in this call {spent}; the limit for all "
            f"together is {limits.elements}: send it in another call"
        )
        call.invalid[at] = InvalidRequest([Fault("", detail, TOO_LARGE)])
    call.requests = {at: request for at, request in call.requests.items() if at not in call.invalid}
    for part in call.bundles:
        if call.invalid.keys() & set(part.positions):
            rest = {at: part.bundle.alone(i) for i, at in enumerate(part.positions) if at not in call.invalid}
            call.requests.update(rest)
    call.bundles = [part for part in call.bundles if not call.invalid.keys() & set(part.positions)]


def needs(request: LossRequest) -> int:
    """The elements that a request takes of its call's: its own, its cotangent's, and rows that have none."""
    checked = request.checked
    needed = checked.layout.elements
    if checked.cotangent is not None:
        needed += checked.cotangent.size
    if not checked.layout.elements or 0 in checked.layout.unreduced:
        needed += sum([extent(shape) for shape in checked.layout.shapes.values() if 0 in shape])
    return needed
