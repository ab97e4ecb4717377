"""Bodies of batches for evaluation runs, in every form; each batch is checked by itself.

JSON: the loss's tensors, `batch_id`, `sample_ids` and `groups` side by side, or `{"batches": [...]}` of such objects.
safetensors: the same without its tensors under the key `request` of `__metadata__`; of many batches, the tensors are
named by position and member, such as `0.input`. Open Inference Protocol: one batch, those members as parameters.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from schemas.evaluation.batch import MAX_BATCHES, MEMBERS, Envelope, check_samples, envelope
from schemas.evaluation.cut import Cut, check_classes, cut
from schemas.evaluation.spec import RunSpec
from schemas.faults import Suggestions
from schemas.losses import LOSSES
from schemas.problem import MALFORMED, TOO_LARGE, Fault, InvalidRequest, pointer
from schemas.request import LossRequest
from schemas.tensor import MAX_TENSORS, Reading
from service.wire import json, large_json, oip, safetensors
from service.wire.batch import SUGGESTIONS, position
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


def read_json(body: Buffer) -> Read:
    """The batches in a JSON body. Raises `InvalidRequest` where it is no JSON object, or its list is too long."""
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
    items = _listed(document)
    return Read([document] if items is None else items, {}, items is not None, not json.holds_booleans(body))


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


def read_oip(body: Buffer, cls: type[LossRequest], json_bytes: int | None) -> Read:
    """The batch in an inference request. Raises `InvalidRequest`, with what is wrong with it too."""
    found, own = oip.decode_beside(body, cls, json_bytes, MEMBERS)
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


def is_inference(body: Buffer) -> bool:
    """Whether a JSON body without a length for its JSON is an inference request: those alone have `inputs`."""
    return b'"inputs"' in bytes(memoryview(body)[:4096])


def checked(read: Read, at: int, spec: RunSpec, max_elements: int) -> Batch:
    """One batch of a body, checked. Raises `InvalidRequest` with all that is wrong with it."""
    item = read.items[at]
    faults = list(read.faults.get(at, []))
    if type(item) is not dict:
        raise InvalidRequest([Fault("", "the batch is no JSON object", MALFORMED)])
    given = envelope(item, spec)
    faults += given.faults
    cls = LOSSES[spec.loss]
    for name in list(item):
        if name in FIXED or name in spec.options or name in cls.option_names:
            del item[name]
            faults.append(Fault(pointer(name), "the run sets it, for all its batches"))
    members = {**spec.options, **item, "dtype": spec.dtype, "reduction": "none", "gradients": []}
    reading = Reading(read.plain and not spec.options, max_elements, suggestions=Suggestions(SUGGESTIONS))
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
    """What the batch holds, in 16 bytes."""
    found = hashlib.blake2b(digest_size=16)
    for name, array in request.checked.tensors.items():
        found.update(f"{name}:{array.dtype}:{array.shape};".encode())
        found.update(memory(array))
    found.update(orjson.dumps(given.sample_ids))
    if given.groups is not None:
        found.update(given.groups.tobytes())
    return found.digest()


def memory(array: np.ndarray[Any, Any]) -> memoryview:
    """An array's own bytes, row-major."""
    return safetensors.memory(array)
