"""What a batch of a run holds beside the loss's own tensors: its id, and its samples' ids and groups."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from schemas.evaluation.spec import RunSpec
from schemas.evaluation.text import BROKEN
from schemas.problem import Fault, pointer
from schemas.request import ABSENT
from schemas.tensor import Tensor

BATCH_ID: Final = re.compile(r"[!-~]{1,128}")
MAX_SAMPLE_ID: Final = 256
"""Characters of a sample's id."""
MAX_BATCHES: Final = 1024
"""Batches that one call may hold."""
MEMBERS: Final = ("batch_id", "sample_ids", "groups")
"""Members of a batch that are none of its loss's request."""

ID_WANTED: Final = "1 to 128 visible ASCII characters are needed"


class EvaluationBatch(BaseModel):
    """One batch: the tensors of its run's loss, and these. For OpenAPI alone."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "batch_id": "validation-000",
                "input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]],
                "target": [0, 2],
                "sample_ids": ["img-17", "img-18"],
                "groups": ["day", "night"],
            }
        },
    )

    batch_id: str = Field(
        ABSENT,
        description="What the batch is known by in its run: sent again, it is answered as the first time and counts "
        f"once. {ID_WANTED[0].upper()}{ID_WANTED[1:]}. Left out: the header Idempotency-Key, or else a new one.",
    )
    sample_ids: list[str | int] = Field(
        ABSENT,
        description="An id for each sample (texts, or whole numbers of 64 bits), unique in the run: reports name the "
        "hardest samples by it, and two runs are compared sample by sample.",
    )
    groups: list[str | int] = Field(
        ABSENT, description="The group that each sample is in: a name of the run's groups, or its position there."
    )
    batches: list[dict[str, Any]] = Field(
        ABSENT, max_length=MAX_BATCHES, description="Many batches, in place of all other members."
    )


class Envelope(NamedTuple):
    """What a batch says of itself; `faults` are all that is wrong with that."""

    batch_id: str | None
    sample_ids: list[str] | None
    groups: NDArray[np.int32] | None
    faults: list[Fault]


def envelope(members: dict[str, Any], spec: RunSpec) -> Envelope:
    """Take these members out of a batch's, and read them."""
    faults: list[Fault] = []
    batch_id = members.pop("batch_id", None)
    if batch_id is not None and not (type(batch_id) is str and BATCH_ID.fullmatch(batch_id)):
        faults.append(Fault("/batch_id", ID_WANTED))
        batch_id = None
    ids = _sample_ids(members.pop("sample_ids", None), faults)
    groups = _groups(members.pop("groups", None), spec, faults)
    return Envelope(batch_id, ids, groups, faults)


def check_samples(given: Envelope, samples: int) -> list[Fault]:
    """Whether there is an id and a group for each of so many samples, and no id twice."""
    faults = []
    for name, found in (("sample_ids", given.sample_ids), ("groups", given.groups)):
        if found is not None and len(found) != samples:
            faults.append(Fault(pointer(name), f"{len(found)} for {samples} samples"))
    ids = given.sample_ids
    if ids is not None and len(set(ids)) != len(ids):
        seen: set[str] = set()
        at = next(at for at, one in enumerate(ids) if one in seen or seen.add(one))  # type: ignore[func-returns-value]
        faults.append(Fault(pointer("sample_ids", at), f"{ids[at]!r} is there twice"))
    return faults


def _listed(value: Any) -> list[Any] | None:
    """A list, or the numbers of a tensor of one dim."""
    if isinstance(value, Tensor):
        array = value.array
        return array.tolist() if array.ndim == 1 and array.dtype.kind in "iu" else None
    return value if type(value) is list else None


def _sample_ids(value: Any, faults: list[Fault]) -> list[str] | None:
    if value is None:
        return None
    found = _listed(value)
    if found is None:
        faults.append(Fault("/sample_ids", "a list of texts or of whole numbers of 64 bits is needed here"))
        return None
    ids = []
    for at, one in enumerate(found):
        if type(one) is int and -(2**63) <= one < 2**63:
            ids.append(str(one))
        elif type(one) is str and 0 < len(one) <= MAX_SAMPLE_ID and not BROKEN.search(one):
            ids.append(one)
        else:
            wanted = f"a text of 1 to {MAX_SAMPLE_ID} characters, or a whole number of 64 bits, is needed here"
            faults.append(Fault(pointer("sample_ids", at), wanted))
            return None
    return ids


def _groups(value: Any, spec: RunSpec, faults: list[Fault]) -> NDArray[np.int32] | None:
    if value is None:
        return None
    found = _listed(value)
    if found is None:
        faults.append(Fault("/groups", "a list of the names of groups, or of their positions, is needed here"))
        return None
    if spec.groups is None:
        faults.append(Fault("/groups", "the run has no groups: they are named when it is made"))
        return None
    positions = {name: at for at, name in enumerate(spec.groups)}
    groups = np.empty(len(found), np.int32)
    for at, one in enumerate(found):
        position = positions.get(one) if type(one) is str else one if type(one) is int else None
        if position is None or not 0 <= position < len(spec.groups):
            shown = repr(one)[:80]
            faults.append(Fault(pointer("groups", at), f"{shown} is no group of the run"))
            return None
        groups[at] = position
    return groups
