"""The faults of a loss's request, told where the caller of the protocol wrote what is wrong."""

from __future__ import annotations

import numpy as np

from schemas.oip_tensors import GRADIENT, options
from schemas.problem import Fault, pointer
from schemas.request import LossRequest
from service.wire.oip.envelope import Envelope, Input


def located(faults: list[Fault], envelope: Envelope, cls: type[LossRequest]) -> list[Fault]:
    """`/target/3` becomes `/inputs/1/data/3`, `/reduction` becomes `/parameters/reduction`.

    What follows only from inputs that are broken is left out: their own faults are told already.
    """
    inputs = {one.name: one for one in envelope.inputs}
    broken = {name.split(".")[0] for name in envelope.broken}
    found = []
    for fault in faults:
        path = fault.pointer.replace("~1", "/").replace("~0", "~").split("/")[1:]
        if not path:
            found.append(fault)
            continue
        one, rest = _input(path, inputs)
        if one is not None:
            found.append(_in_input(fault, one, rest))
        elif path[0] == "gradients":
            found.append(fault._replace(pointer=_of_gradients(path, envelope)))
        elif path[0] in options(cls):
            found.append(fault._replace(pointer="/parameters" + fault.pointer))
        elif path[0] not in broken:
            found.append(fault._replace(pointer="/inputs", detail=f"{'.'.join(path)}: {fault.detail}"))
    return found


def _input(path: list[str], inputs: dict[str, Input]) -> tuple[Input | None, list[str]]:
    """The input that a path leads into, and the rest of the path."""
    for length in (1, 2, 3):  # target, tensors.x, tail.0.output
        one = inputs.get(".".join(path[:length]))
        if one is not None:
            return one, path[length:]
    return None, path


def _in_input(fault: Fault, one: Input, indices: list[str]) -> Fault:
    """A fault of an input: in its data, as they are written, if it is one of a single element."""
    where = pointer("inputs", one.at)
    if not indices:
        return fault._replace(pointer=where)
    if one.begin is not None:
        return fault._replace(pointer=where, detail=f"element [{', '.join(indices)}]: {fault.detail}")
    if len(indices) == len(one.shape) and is_flat(one.data):
        flat = int(np.ravel_multi_index([int(index) for index in indices], one.shape))
        return fault._replace(pointer=f"{where}/data/{flat}")
    return fault._replace(pointer=where + pointer("data", *indices))


def is_flat(data: object) -> bool:
    """Whether JSON data are one list of numbers, whatever the shape."""
    return type(data) is list and not (data and type(data[0]) is list)


def _of_gradients(path: list[str], envelope: Envelope) -> str:
    """Where the caller asked for a gradient: as an output, or in the parameter."""
    wanted = [one for one in envelope.outputs if one.name.startswith(GRADIENT)]
    if envelope.outputs and len(path) == 2 and int(path[1]) < len(wanted):
        return pointer("outputs", wanted[int(path[1])].at)
    return pointer("parameters", *path)
