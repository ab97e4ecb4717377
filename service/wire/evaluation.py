"""Bodies of batches for evaluation runs, in every form; each batch is checked by itself.

JSON: the loss's tensors, `batch_id`, `sample_ids` and `groups` side by side, or `{"batches": [...]}` of such objects.
safetensors: the same without its tensors under the key `request` of `__metadata__`; of many batches, the tensors are
named by position and member, such as `0.input`. Open Inference Protocol: one batch, those members as parameters.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import orjson
import xxhash

from schemas.evaluation.batch import MAX_BATCHES, MEMBERS, Envelope, check_samples, envelope
from schemas.evaluation.cut import Cut, check_classes, cut
from schemas.evaluation.shared import Shared
from schemas.faults import Suggestions
from schemas.losses import LOSSES
from schemas.problem import MALFORMED, TOO_LARGE, Fault, InvalidRequest, pointer
from schemas.request import LossRequest
from schemas.tensor import MAX_TENSORS, Reading, Tensor
from service.wire import json, large_json, oip, safetensors
from service.wire.batch import MAX_CALL_TEXT, SUGGESTIONS, position
from service.wire.members import place, validate

Buffer = bytes | bytearray | memoryview

FIXED: Final = frozenset(("loss", "reduction", "gradients", "dtype", "cotangent", "cotangents", "on_empty", "encoding"))
"""Members of a loss's request that batches do not have."""


class Read(NamedTuple):
    """The batches of a body as they were sent, and what is wrong with each so far; `many`: they came in a list."""

    items: list[Any]
    faults: dict[int, list[Fault]]
    many: bool
    plain: bool = False


class Batch(NamedTuple):
    """One sound batch: the request that computes it, what it says of itself, and how it is cut into samples.

    `digest`: equal for batches with the same content, whatever form they came in.
    """

    request: LossRequest
    given: Envelope
    cut: Cut
    digest: bytes


def read_json(body: Buffer, cls: type[LossRequest]) -> Read:
    """The batches in a JSON body, or the one in an inference request, which alone has `inputs`.

    Raises `InvalidRequest` where it is no JSON object, or its list is too long.
    """
    body = bytes(body)
    document = large_json.read(body) if len(body) >= large_json.LEAST_BYTES else None
    if type(document) is not dict:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise json.malformed(json.no_json(body, error)) from None
        if type(document) is not dict:
            raise json.malformed("the body is no JSON object")
        json.check_depth(document)
    plain = not json.holds_booleans(body)
    if "inputs" in document and "inputs" not in cls.model_fields:
        return _inference(*oip.members_beside(document, cls, memoryview(b""), MEMBERS, plain=plain))
    items = _listed(document)
    return Read([document] if items is None else items, {}, items is not None, plain)


def read_safetensors(body: Buffer) -> Read:
    """The batches in a safetensors body. Raises `InvalidRequest` where the file is not sound."""
    file = safetensors.read(body, MAX_TENSORS * MAX_BATCHES)
    document = safetensors.request_of(file)
    items = _listed(document)
    faults: dict[int, list[Fault]] = {}
    strays = []
    for name, tensor in file.tensors.items():
        at: int | None = 0
        member, item = name, document
        if items is not None:
            at, member = position(name, len(items))
            if at is None:
                detail = "belongs to no batch: tensors are named by a batch's position and a member, such as 0.input"
                strays.append(Fault(pointer(name), detail))
                continue
            item = items[at]
        if type(item) is dict:
            place(item, member, tensor, faults.setdefault(at or 0, []))
    if strays:
        raise InvalidRequest(strays)
    return Read([document] if items is None else items, faults, items is not None)


def read_oip(body: Buffer, cls: type[LossRequest], json_bytes: int) -> Read:
    """The batch in an inference request with binary tensors behind that many bytes of JSON.

    Raises `InvalidRequest`, with what is wrong with it too.
    """
    return _inference(*oip.decode_beside(body, cls, json_bytes, MEMBERS))


def _inference(found: oip.Members, own: dict[str, Any]) -> Read:
    """The batch of an inference request; `own` are the parameters that are no options. Raises `InvalidRequest`."""
    faults = found.faults + found.located([])
    if faults:
        raise InvalidRequest(faults)
    for name in ("sample_ids", "groups"):
        if type(own.get(name)) is str:  # by the protocol parameters hold only scalars: the JSON text of a list
            try:
                own[name] = orjson.loads(own[name])
            except orjson.JSONDecodeError:
                raise InvalidRequest([Fault(pointer("parameters", name), "must be the JSON text of a list")]) from None
    return Read([{**found.members, **own}], {}, many=False)


class Budget:
    """What the batches of one call may take together.

    `text`: characters of formulas, of which each batch has its run's to be laid out. `suggestions`: like names that are
    looked up for unknown ones.
    """

    __slots__ = ("elements", "max_elements", "suggestions", "text")

    def __init__(self, max_elements: int) -> None:
        self.max_elements = max_elements
        self.elements = 0
        self.text = 0
        self.suggestions = Suggestions(SUGGESTIONS)

    def lay_out(self, text: int) -> None:
        """One more formula. Raises `InvalidRequest` where that makes too many."""
        if text and self.text + text > MAX_CALL_TEXT:
            detail = (
                f"the run's expression has {text} characters, and those of the batches before it in this call "
                f"{self.text}; the limit for all together is {MAX_CALL_TEXT}: send it in another call"
            )
            raise InvalidRequest([Fault("", detail, TOO_LARGE)])
        self.text += text

    def take(self, elements: int) -> None:
        """The elements of one more batch. Raises `InvalidRequest` where nothing is left for them."""
        if self.elements + elements > self.max_elements:
            detail = (
                f"the batch needs {elements} elements, and those before it in this call {self.elements}; the limit for "
                f"all together is {self.max_elements}: send it in another call"
            )
            raise InvalidRequest([Fault("", detail, TOO_LARGE)])
        self.elements += elements


def checked(read: Read, at: int, run: Shared, budget: Budget) -> Batch:
    """One batch of a body, checked. Raises `InvalidRequest` with all that is wrong with it."""
    item = read.items[at]
    if type(item) is not dict:
        raise InvalidRequest([Fault("", "the batch is no JSON object", MALFORMED)])
    try:
        budget.lay_out(run.text)
        one = _checked(item, list(read.faults.get(at, [])), run, read.plain, budget)
    except InvalidRequest as error:
        # What is refused has been looked at too; what that takes may leave nothing for those after it.
        budget.elements = min(budget.elements + run.elements + _numbers(item), budget.max_elements)
        raise InvalidRequest(error.faults, run.spec.loss) from None
    budget.take(one.request.checked.layout.elements)
    return one


def _checked(item: dict[str, Any], faults: list[Fault], run: Shared, plain: bool, budget: Budget) -> Batch:
    spec = run.spec
    given = envelope(item, spec)
    faults += given.faults
    cls = LOSSES[spec.loss]
    own = cls.maps & item.keys()  # a formula's tensors: the run may have some, its batches have the others
    for name in list(item):
        if name in FIXED or ((name in spec.options or name in cls.option_names) and name not in own):
            del item[name]
            faults.append(Fault(pointer(name), "the run sets it, for all its batches"))
    shared = run.members()
    members = {**shared, **item, "dtype": spec.dtype, "reduction": "none", "gradients": []}
    for name in own:
        members[name] = _joined(shared.get(name), item[name], name, faults)
    reading = Reading(plain and run.scalar, budget.max_elements, suggestions=budget.suggestions)
    try:
        request = validate(members, cls, reading)
    except InvalidRequest as error:
        raise InvalidRequest(faults + error.faults, cls.name) from None
    pieces = cut(request)
    faults += check_samples(given, pieces.samples)
    faults += check_classes(request, spec)
    if faults:
        raise InvalidRequest(faults, cls.name)
    return Batch(request, given, pieces, _digest(request, given))


def _joined(shared: Any, own: Any, member: str, faults: list[Fault]) -> Any:
    """The named tensors of a run and of its batch."""
    if type(shared) is not dict or type(own) is not dict:
        return own
    twice = [name for name in own if name in shared]
    faults += [Fault(pointer(member, name), "the run sets it, for all its batches") for name in twice]
    return own | shared


def _numbers(value: Any) -> int:
    """The numbers that were sent, about: those of tensors, and of lists in which each is an object."""
    if type(value) is Tensor:
        return value.array.size
    if type(value) is dict:
        return sum([_numbers(one) for one in value.values()])
    if type(value) is list:
        nested = value and type(value[0]) in (list, dict, Tensor)
        return sum([_numbers(one) for one in value]) if nested else len(value)
    return 1


def _listed(document: dict[str, Any]) -> list[Any] | None:
    """The list of batches, if there is one. Raises `InvalidRequest` where it is none, or too long."""
    if "batches" not in document:
        return None
    items = document["batches"]
    faults = [Fault(pointer(name), "unknown beside batches") for name in list(document)[:256] if name != "batches"]
    if type(items) is not list:
        faults.append(Fault("/batches", "a list of batches is needed here"))
    elif len(items) > MAX_BATCHES:
        faults.append(Fault("/batches", f"{len(items)} batches; the limit is {MAX_BATCHES}", TOO_LARGE))
    if faults:
        raise InvalidRequest(faults)
    return items  # type: ignore[no-any-return] # looked at above


def _digest(request: LossRequest, given: Envelope) -> bytes:
    """What the batch holds, in 16 bytes: XXH3, thirty times as fast as a hash that withstands attacks.

    Who makes two batches with one digest deceives nobody but the own run.
    """
    found = xxhash.xxh3_128()
    for name, array in request.checked.tensors.items():
        found.update(f"{name}:{array.dtype}:{array.shape};".encode())
        found.update(memory(array))
    found.update(orjson.dumps(given.sample_ids))
    if given.groups is not None:
        found.update(memory(given.groups))
    return found.digest()


def memory(array: np.ndarray[Any, Any]) -> memoryview:
    """An array's own bytes, row-major."""
    return safetensors.memory(array)
