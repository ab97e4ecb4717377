"""The parameters of an inference request, of its inputs and of its outputs; and members that nothing here knows."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

import orjson

from schemas.faults import SUGGESTIONS
from schemas.oip_tensors import is_input, lists, objects, options
from schemas.problem import Fault, InvalidRequest, pointer
from schemas.request import LossRequest
from schemas.tensor_request import MAX_MEMBERS

WITHOUT_MEANING: Final = frozenset(("priority", "sequence_id", "sequence_start", "sequence_end", "content_type"))
"""Parameters that clients send along and that change nothing here."""
OF_REQUESTS: Final = ("binary_data_output", "timeout")
"""Parameters of a request that are no options of its loss."""
REFUSED: Final = {
    "classification": "classification is not served",
    "encoding": "binary_data_output, or an output's binary_data, chooses the form of the answer",
    "loss": "the path names the loss",
    "shared_memory_byte_size": "shared memory is not served: send the data with the request",
    "shared_memory_offset": "shared memory is not served: send the data with the request",
    "shared_memory_region": "shared memory is not served: send the data with the request",
}
"""Why some parameters are not taken."""


def parameters(holder: dict[str, Any], where: str, faults: list[Fault]) -> dict[str, Any]:
    """The parameters of a request, an input or an output; none where they are left out."""
    found = holder.get("parameters")
    if found is None:
        return {}
    if type(found) is dict:
        _bound(found, f"{where}/parameters")
        return found
    faults.append(Fault(f"{where}/parameters", "must be an object"))
    return {}


def members(found: dict[str, Any], known: frozenset[str], where: str, faults: list[Fault]) -> None:
    """Refuse all members but these."""
    if not known.issuperset(found):
        _bound(found, where)
        _refuse([name for name in found if name not in known], "member", known, where, faults)


def known_only(found: dict[str, Any], known: tuple[str, ...], where: str, faults: list[Fault]) -> None:
    """Refuse all parameters but these, and those without a meaning."""
    unknown = [name for name in found if name not in known and name not in WITHOUT_MEANING]
    _refuse(unknown, "parameter", known, where, faults)


def loss_options(found: dict[str, Any], cls: type[LossRequest], faults: list[Fault]) -> dict[str, Any]:
    """The loss's options among the parameters of a request; what is none of them, nor of any other use, is refused."""
    own = options(cls)
    chosen: dict[str, Any] = {}
    unknown = []
    for name, value in found.items():
        if name in own:
            kind = list if name in lists(cls) else dict if name in objects(cls) else None
            chosen[name] = value if kind is None else _structured(name, value, kind, faults)
        elif is_input(cls, name):
            faults.append(Fault(pointer("parameters", name), f"{name} is a tensor: give it among the inputs"))
        elif name not in OF_REQUESTS and name not in WITHOUT_MEANING:
            unknown.append(name)
    _refuse(unknown, "parameter", (*own, *OF_REQUESTS), "/parameters", faults)
    return chosen


def flag(found: dict[str, Any], name: str, where: str, default: bool, faults: list[Fault]) -> bool:
    """A parameter that is true or false."""
    value = found.get(name)
    if value is None:
        return default
    if type(value) is bool:
        return value
    faults.append(Fault(f"{where}/{name}", "must be true or false"))
    return default


def timeout(found: dict[str, Any], faults: list[Fault]) -> int | None:
    """How long the answer may take, in microseconds."""
    value = found.get("timeout")
    if value is None:
        return None
    if type(value) is int and 0 <= value < 2**63:
        return value
    faults.append(Fault("/parameters/timeout", "must be a whole number of microseconds, 0 or more"))
    return None


def _structured(name: str, value: Any, kind: type, faults: list[Fault]) -> Any:
    """A list or an object. By the protocol parameters hold only scalars, so it may be given as JSON text."""
    if type(value) is not str:
        return value
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        found = None
    if type(found) is kind:
        return found
    what = 'a list, or the JSON text of one, such as "[2, 10]"' if kind is list else "an object, or its JSON text"
    faults.append(Fault(pointer("parameters", name), f"must be {what}"))
    return kind()


def _refuse(unknown: Iterable[str], what: str, known: Iterable[str], where: str, faults: list[Fault]) -> None:
    looked_up = 0
    for name in unknown:
        detail = REFUSED.get(name) if what == "parameter" else None
        if detail is None:
            looked_up += 1
            near = get_close_matches(name, known, 1) if looked_up <= SUGGESTIONS else []
            detail = f"unknown {what}" + (f"; did you mean {near[0]}?" if near else "")
        faults.append(Fault(where + pointer(name), detail))


def _bound(found: dict[str, Any], where: str) -> None:
    if len(found) > MAX_MEMBERS:
        raise InvalidRequest([Fault(where, f"{len(found)} members; nothing has more than {MAX_MEMBERS}")])
