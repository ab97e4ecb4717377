"""Parts of the service on their own, in one process: the figures behind two constants.

`python -m benchmarks.parts` prints three tables: what stacking brings (`LossRequest.stack_limit`), the two readers of
JSON bodies (`service.wire.large_json.LEAST_BYTES`), and what answers take to write. Only ratios within a table mean
anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pybase64
import torch
from numpy.typing import NDArray

from schemas.dtype import FLOATING
from schemas.losses import ANY_LOSS
from schemas.request import LossRequest
from schemas.result import LossResult
from service.compute import compute, open_device
from service.wire import json as wire
from service.wire import large_json

BATCH = 16
ELEMENTS = (16, 256, 1024, 4096, 8192, 16_384, 32_768, 131_072)
SHAPES = ((1, 10), (8, 100), (8, 200), (32, 100), (32, 1000), (256, 1000), (3200, 10))


def seconds(work: Callable[[], object], at_least: float = 0.2) -> float:
    """The median time of one call, over runs that take a fifth of a second together."""
    work()
    times: list[float] = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < at_least or len(times) < 5:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def stacking() -> None:
    """A batch of equal requests, stacked and one by one."""
    device = open_device("cpu")
    generator = np.random.default_rng(1)
    print(f"Stacking: {BATCH} requests computed at once against one by one\n")
    print("| elements of input | cross entropy, rows of 16: µs a request | ÷ alone | BCE with logits: µs | ÷ alone |")
    print("|--:|--:|--:|--:|--:|")
    for size in ELEMENTS:
        cells = []
        for loss in ("cross_entropy", "binary_cross_entropy_with_logits"):
            requests = [request(loss, size, generator) for _ in range(BATCH)]
            stacked = seconds(lambda requests=requests: compute(requests, device))  # type: ignore[misc]
            alone = seconds(lambda requests=requests: [compute([one], device) for one in requests])  # type: ignore[misc]
            cells += [f"{stacked / BATCH * 1e6:,.1f}", f"{stacked / alone:.2f}"]
        print(f"| {size:,} | {' | '.join(cells)} |")


def request(loss: str, size: int, generator: np.random.Generator) -> LossRequest:
    """A request with an input of that many elements."""
    values = generator.standard_normal(size, dtype=np.float32)
    if loss == "cross_entropy":
        members = {"input": values.reshape(-1, 16), "target": generator.integers(0, 16, size // 16)}
    else:
        members = {"input": values, "target": generator.random(size, dtype=np.float32)}
    made: LossRequest = ANY_LOSS.validate_python({"loss": loss, **members})
    return made


def reading() -> None:
    """A JSON body to a checked request, by both readers."""
    generator = np.random.default_rng(2)
    least = large_json.LEAST_BYTES
    print("\nReading JSON: cross entropy bodies to checked requests\n")
    print("| shape | bytes | general reader ms | large reader ms | large ÷ general | same in base64: ms | ÷ large |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for shape in SHAPES:
        logits = generator.standard_normal(shape, dtype=np.float32)
        lists, packed = (bodies(logits, form) for form in ("list", "base64"))
        times = []
        for body, limit in ((lists, 1 << 62), (lists, 0), (packed, least)):
            large_json.LEAST_BYTES = limit  # type: ignore[misc] # so that each reader takes every size
            times.append(seconds(lambda body=body: wire.decode(body, None, max_elements=1 << 24)))  # type: ignore[misc]
        large_json.LEAST_BYTES = least  # type: ignore[misc]
        general, large, binary = times
        cells = (f"{shape[0]}x{shape[1]}", f"{len(lists):,}", f"{general * 1e3:.3f}", f"{large * 1e3:.3f}")
        print(f"| {' | '.join(cells)} | {large / general:.2f} | {binary * 1e3:.3f} | {binary / large:.2f} |")


def bodies(logits: NDArray[np.float32], form: str) -> bytes:
    """A cross entropy request, its logits as nested lists or in base64."""
    tensor: Any = logits
    if form == "base64":
        data = pybase64.b64encode_as_string(logits.tobytes())
        tensor = {"dtype": "float32", "shape": logits.shape, "data": data}
    members = {"loss": "cross_entropy", "input": tensor, "target": [1] * len(logits)}
    return orjson.dumps(members, option=orjson.OPT_SERIALIZE_NUMPY)


def writing() -> None:
    """An answer to its JSON body: numbers alone, some that are not finite, half types, base64."""
    generator = np.random.default_rng(3)
    print("\nWriting JSON: a loss and a gradient to a body, ÷ orjson alone on the float32 gradient\n")
    print(
        "| shape | orjson alone ms | float32 | a row of NaN | an infinity in each row | float16 | bfloat16 | base64 |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for shape in ((1, 10), (32, 1000), (256, 1000)):
        plain = generator.standard_normal(shape, dtype=np.float32) / 1000
        row, column = plain.copy(), plain.copy()
        row[0], column[:, 0] = np.nan, np.inf
        halves = [plain.astype(FLOATING[name]) for name in ("float16", "bfloat16")]
        base = seconds(lambda plain=plain: orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY))  # type: ignore[misc]
        forms = [(array, "list") for array in (plain, row, column, *halves)] + [(plain, "base64")]
        times = [seconds(lambda form=form: wire.encode(result(form[0]), form[1])) for form in forms]  # type: ignore[misc]
        cells = " | ".join(f"{time / base:.2f}" for time in times)
        print(f"| {shape[0]}x{shape[1]} | {base * 1e3:.4f} | {cells} |")


def result(gradient: NDArray[Any]) -> LossResult:
    """An answer with that gradient."""
    loss: Any = np.float32(2.5)
    return LossResult(loss, {"input": gradient}, "mean", float(len(gradient)), len(gradient), 0, "float32", [])


if __name__ == "__main__":
    torch.set_num_threads(1)
    stacking()
    reading()
    writing()
