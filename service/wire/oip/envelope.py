"""The JSON object of an inference request: all of it but the numbers of its tensors, checked for one loss."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from schemas.losses import resolve
from schemas.nested import TensorFault, in_words
from schemas.oip_tensors import DATATYPES, GRADIENT, fields, is_input, is_output, options, outputs
from schemas.problem import UNSUPPORTED, Fault, InvalidRequest
from schemas.request import LossRequest
from schemas.tensor import MAX_TENSORS, shape_of
from service.wire.oip import parameters as given

MEMBERS: Final = frozenset(("id", "parameters", "inputs", "outputs", "model_name", "model_version"))
INPUT_MEMBERS: Final = frozenset(("name", "shape", "datatype", "parameters", "data"))
OUTPUT_MEMBERS: Final = frozenset(("name", "parameters"))
VERSION: Final = "1"
"""The one version that every model has."""


class Input(NamedTuple):
    """One input: `at` is its place in `inputs`; its numbers are `data`, or lie `begin` bytes behind the JSON."""

    at: int
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int | None
    data: Any


class Output(NamedTuple):
    """One output that is asked for: its place in `outputs`, and whether as binary data."""

    at: int
    name: str
    binary: bool


class Envelope(NamedTuple):
    """What an inference request says: read-only, since equal ones are read once.

    `options` are members of the loss's request. `outputs`: those asked for, in order; empty for all of them, which
    are then `binary` or not. `timeout` in microseconds. `binary_bytes` lie behind the JSON. `faults`: all that is wrong
    so far; `broken` are the inputs that were left out for it.
    """

    id: str | None
    options: dict[str, Any]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    binary: bool
    timeout: int | None
    binary_bytes: int
    faults: tuple[Fault, ...]
    broken: frozenset[str]


def read(document: dict[str, Any], cls: type[LossRequest]) -> Envelope:
    """What the object says, with all that is wrong in it.

    Raises `InvalidRequest` where there is more in it than anyone needs.
    """
    faults: list[Fault] = []
    given.members(document, MEMBERS, "", faults)
    _check_model(document, cls, faults)
    identifier = document.get("id")
    if identifier is not None and type(identifier) is not str:
        faults.append(Fault("/id", "must be a text"))
    parameters = given.parameters(document, "", faults)
    binary = given.flag(parameters, "binary_data_output", "/parameters", False, faults)
    found, binary_bytes, broken = _inputs(document, cls, faults)
    wanted = _outputs(document, cls, binary, faults)
    chosen = given.loss_options(parameters, cls, faults)
    if wanted:
        if "gradients" in chosen:
            faults.append(Fault("/parameters/gradients", "outputs name the gradients that are wanted"))
        chosen["gradients"] = [one.name.removeprefix(GRADIENT) for one in wanted if one.name.startswith(GRADIENT)]
    timeout = given.timeout(parameters, faults)
    return Envelope(
        identifier, chosen, tuple(found), wanted, binary, timeout, binary_bytes, tuple(faults), frozenset(broken)
    )


def _check_model(document: dict[str, Any], cls: type[LossRequest], faults: list[Fault]) -> None:
    """A body may repeat what the path says, and must not contradict it."""
    name = document.get("model_name")
    if name is not None and (type(name) is not str or resolve(name) is not cls):
        faults.append(Fault("/model_name", f"the path says {cls.name}"))
    if document.get("model_version") not in (None, "", VERSION):
        faults.append(Fault("/model_version", f"there is one version: {VERSION}"))


def _inputs(document: dict[str, Any], cls: type[LossRequest], faults: list[Fault]) -> tuple[list[Input], int, set[str]]:
    """The inputs that are sound, the bytes of all binary data, and the names of those that are not."""
    entries = document.get("inputs")
    if type(entries) is not list:
        faults.append(Fault("/inputs", "required: a list of inputs" if entries is None else "must be a list of inputs"))
        return [], 0, set(fields(cls))
    if len(entries) > MAX_TENSORS:
        raise InvalidRequest([Fault("/inputs", f"{len(entries)} inputs; at most {MAX_TENSORS} are taken")])
    found: list[Input] = []
    broken: set[str] = set()
    end = 0
    for at, entry in enumerate(entries):
        before = len(faults)
        one, end = _input(at, entry, end, cls, faults)
        name = entry.get("name") if type(entry) is dict else None
        if one is not None and any(other.name == name for other in found):
            faults.append(Fault(f"/inputs/{at}/name", f"{name} is given twice"))
        elif one is not None and len(faults) == before:
            found.append(one)
        elif type(name) is str:
            broken.add(name)
    return found, end, broken


def _input(at: int, entry: Any, end: int, cls: type[LossRequest], faults: list[Fault]) -> tuple[Input | None, int]:
    """One input, and where the next one's binary data begins."""
    where = f"/inputs/{at}"
    if type(entry) is not dict:
        faults.append(Fault(where, "must be an object"))
        return None, end
    given.members(entry, INPUT_MEMBERS, where, faults)
    name = _name(entry, where, faults)
    if name is not None and not is_input(cls, name):
        faults.append(Fault(f"{where}/name", _no_input(cls, name)))
    dtype = _dtype(entry, where, faults)
    shape = _shape(entry, where, faults)
    parameters = given.parameters(entry, where, faults)
    if parameters:
        given.known_only(parameters, ("binary_data_size",), f"{where}/parameters", faults)
    size = parameters.get("binary_data_size")
    data = entry.get("data")
    if size is None:
        if data is None:
            faults.append(Fault(f"{where}/data", "required, but missing: there is no binary_data_size either"))
        begin = None
    else:
        begin, at_size = end, f"{where}/parameters/binary_data_size"
        if data is not None:
            faults.append(Fault(f"{where}/data", "given twice: binary_data_size says that it is behind the JSON"))
        if type(size) is not int or size < 0:
            faults.append(Fault(at_size, "must be a number of bytes"))
        else:
            end += size
            if dtype is not None and shape is not None and size != (need := math.prod(shape) * dtype.itemsize):
                faults.append(Fault(at_size, f"{size} bytes, but shape and datatype make {need}"))
    if name is None or dtype is None or shape is None:
        return None, end
    return Input(at, name, dtype, shape, begin, data), end


def _no_input(cls: type[LossRequest], name: str) -> str:
    if name in options(cls):
        return f"{name} is an option: give it among the parameters"
    return f"{cls.name} has no input {_shown(name)}; its inputs are {', '.join(fields(cls))}"


def _name(entry: dict[str, Any], where: str, faults: list[Fault]) -> str | None:
    name = entry.get("name")
    if type(name) is str:
        return name
    faults.append(Fault(f"{where}/name", "required, but missing" if name is None else "must be a text"))
    return None


def _dtype(entry: dict[str, Any], where: str, faults: list[Fault]) -> np.dtype | None:
    name = entry.get("datatype")
    if name is None:
        faults.append(Fault(f"{where}/datatype", "required, but missing"))
        return None
    dtype = DATATYPES.get(name) if type(name) is str else None
    if dtype is None:
        detail = f"{_shown(name)} is not served; these are: {', '.join(DATATYPES)}"
        faults.append(Fault(f"{where}/datatype", detail, UNSUPPORTED))
    return dtype


def _shape(entry: dict[str, Any], where: str, faults: list[Fault]) -> tuple[int, ...] | None:
    if entry.get("shape") is None:
        faults.append(Fault(f"{where}/shape", "required, but missing"))
        return None
    try:
        return shape_of(entry["shape"])
    except TensorFault as error:
        faults.append(Fault(where + error.fault.pointer, error.fault.detail, error.fault.status))
        return None


def _outputs(document: dict[str, Any], cls: type[LossRequest], binary: bool, faults: list[Fault]) -> tuple[Output, ...]:
    entries = document.get("outputs")
    if entries is None:
        return ()
    if type(entries) is not list:
        faults.append(Fault("/outputs", "must be a list of outputs"))
        return ()
    if len(entries) > 2 * MAX_TENSORS:
        raise InvalidRequest([Fault("/outputs", f"{len(entries)} outputs; no loss has as many")])
    found: dict[str, Output] = {}
    for at, entry in enumerate(entries):
        where = f"/outputs/{at}"
        if type(entry) is not dict:
            faults.append(Fault(where, "must be an object"))
            continue
        given.members(entry, OUTPUT_MEMBERS, where, faults)
        name = _name(entry, where, faults)
        parameters = given.parameters(entry, where, faults)
        given.known_only(parameters, ("binary_data",), f"{where}/parameters", faults)
        as_binary = given.flag(parameters, "binary_data", f"{where}/parameters", binary, faults)
        if name is None:
            continue
        if not is_output(cls, name):
            known = ", ".join(outputs(cls))
            faults.append(Fault(f"{where}/name", f"{cls.name} has no output {_shown(name)}; its outputs are {known}"))
        elif name in found:
            faults.append(Fault(f"{where}/name", f"{name} is named twice"))
        else:
            found[name] = Output(at, name, as_binary)
    return tuple(found.values())


def _shown(value: Any) -> str:
    text = repr(value) if type(value) is str else in_words(value)  # which writes out no list, however deep
    return text if len(text) <= 60 else text[:57] + "..."
