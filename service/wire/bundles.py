"""Which requests of a call are alike: those are read and checked as bundles (`schemas.bundle`), not one by one."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator
from typing import Any, Final, NamedTuple

from schemas.bundle import LEAST, Bundle, bundle
from schemas.columns import Unlike
from schemas.losses import resolve
from schemas.problem import InvalidRequest
from schemas.request import LossRequest
from schemas.tensor import Reading, Tensor

PLAIN: Final = frozenset({str, int, float, bool, type(None)})
"""Types of options that are told apart by how they are written."""


class Part(NamedTuple):
    """Requests, by their positions, that are one bundle."""

    positions: list[int]
    bundle: Bundle


class _Plan(NamedTuple):
    """What requests with these members have in common: their class, and the members that are no tensors."""

    cls: type[LossRequest]
    options: tuple[str, ...]


def bundles(items: list[Any], left_out: Container[int], reading: Reading) -> list[Part]:
    """The bundles among the requests of a call. What is in none is to be validated by itself."""
    found: list[Part] = []
    for plan, positions in _alike(items, left_out):
        if len(positions) >= LEAST:
            found += _parts(plan.cls, items, positions, reading, split=False)
    return found


def _alike(items: list[Any], left_out: Container[int]) -> Iterator[tuple[_Plan, list[int]]]:
    """Positions of requests with the same loss, the same members and the same options."""
    plans: dict[Hashable, tuple[_Plan, list[int]] | None] = {}
    groups: dict[Hashable, tuple[_Plan, list[int]]] = {}
    for at, item in enumerate(items):
        if type(item) is not dict or at in left_out:
            continue
        key = (item.get("loss"), *item)
        try:
            known = plans[key]
        except KeyError:
            plan = _plan(key[0], item)
            known = plans[key] = None if plan is None else (plan, [])
        except TypeError:  # a loss that is a list, say
            continue
        if known is None:
            continue
        plan, positions = known
        if not plan.options:
            positions.append(at)
            continue
        told = _told([item[name] for name in plan.options])
        if told is not None:
            groups.setdefault((key, told), (plan, []))[1].append(at)
    yield from (known for known in plans.values() if known is not None)
    yield from groups.values()


def _plan(loss: Any, item: dict[str, Any]) -> _Plan | None:
    """`None` where such requests are never stacked, or have a member that the loss does not know."""
    cls = resolve(loss) if type(loss) is str else None
    if cls is None or cls.stacking == "alone" or not item.keys() <= cls.model_fields.keys():
        return None
    tensors = {*cls.tensor_fields, "cotangent", "loss"}
    return _Plan(cls, tuple([name for name in item if name not in tensors]))


def _told(options: list[Any]) -> str | None:
    """The options as text, in which 1, 1.0 and true, or 0.0 and -0.0, are different."""
    for value in options:
        if type(value) not in PLAIN and not (type(value) is list and set(map(type, value)) <= {str}):
            return None
    return repr(options)


def _parts(
    cls: type[LossRequest], items: list[Any], positions: list[int], reading: Reading, *, split: bool
) -> Iterator[Part]:
    """These requests as bundles: all in one; else by their shapes; else, where one is not sound, in halves."""
    while len(positions) >= LEAST:
        try:
            found = bundle(cls, [items[at] for at in positions], reading)
        except (Unlike, InvalidRequest):
            groups = _halves(positions) if split else _by_shape(items, positions)
            for group in groups:
                yield from _parts(cls, items, group, reading, split=True)
            return
        if found is None:
            return
        yield Part(positions[: found.size], found)
        positions = positions[found.size :]


def _halves(positions: list[int]) -> list[list[int]]:
    middle = len(positions) // 2
    return [positions[:middle], positions[middle:]]


def _by_shape(items: list[Any], positions: list[int]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for at in positions:
        outline = tuple([_outline(value) for value in items[at].values()])
        groups.setdefault(outline, []).append(at)
    return list(groups.values()) if len(groups) > 1 else _halves(positions)


def _outline(value: Any) -> Hashable:
    """What a tensor's first row, column, ... tell of its shape."""
    if type(value) is list:
        sizes = []
        while type(value) is list:
            sizes.append(len(value))
            value = value[0] if value else None
        return tuple(sizes)
    if type(value) is Tensor:
        return value.array.shape, value.array.dtype
    if type(value) is dict:
        shape, dtype = value.get("shape"), value.get("dtype")
        known = tuple([size for size in shape if type(size) is int]) if type(shape) is list else ()
        return known, dtype if type(dtype) is str else None
    return None
