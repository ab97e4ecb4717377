"""Adds batches in processes that are killed at any moment; a script, told a URL, a run, a number and a seed.

Each process takes up what was not acknowledged, eight batches at once, and writes the number of each that was. The
script tells the numbers that were acknowledged, each time that they were.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys

from pydantic import SecretStr

from service.evaluations import tallies
from service.evaluations.evaluations import Evaluations
from service.settings import Settings
from tests.evaluations.store.opened import batch

KILLS = 10


async def add_all(url: str, run_id: str, numbers: list[int], told: int) -> None:
    """Add batches, and tell the number of each on a pipe once it is acknowledged."""
    evaluations = await Evaluations.open(Settings(database_url=SecretStr(url)))
    left = iter(numbers)

    async def some() -> None:
        for number in left:
            await evaluations.add(run_id, None, batch(number))
            os.write(told, number.to_bytes(4, "big"))

    await asyncio.gather(*[some() for _ in range(8)])
    await evaluations.close()


def one_life(url: str, run_id: str, numbers: list[int], acknowledgements: int | None) -> list[int]:
    """What a process had acknowledged when it was killed, which is after about so many of them."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        asyncio.run(add_all(url, run_id, numbers, writing))
        os._exit(0)
    os.close(writing)
    found = []
    with os.fdopen(reading, "rb") as stream:
        while piece := stream.read(4):
            found.append(int.from_bytes(piece, "big"))
            if acknowledgements is not None and len(found) == acknowledgements:
                os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    expected = (0, signal.SIGKILL) if acknowledgements is not None else (0,)
    assert status in expected, status
    return found


def main() -> None:
    """Kill many processes, then let one end."""
    url, run_id, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    tallies.SNAPSHOT_EVERY = 7  # killed amid them, too
    chance = random.Random(seed)  # noqa: S311 # nothing is secret
    acknowledged: list[int] = []
    lives = 0
    for life in range(KILLS + 1):
        numbers = [number for number in range(count) if number not in set(acknowledged)]
        chance.shuffle(numbers)
        last = life == KILLS
        acknowledged += one_life(url, run_id, numbers, None if last else chance.randint(1, 12))
        lives += 1
    json.dump({"acknowledged": acknowledged, "lives": lives}, sys.stdout)


if __name__ == "__main__":
    main()
