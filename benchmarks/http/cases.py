"""What is asked: the cases, as data. A new size or body form is a new record here."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

SEED = 20_260


@dataclass(frozen=True)
class Problem:
    """A cross entropy: `logits` N C in float32, `target` N in int64."""

    logits: NDArray[np.float32]
    target: NDArray[np.int64]


@dataclass(frozen=True)
class Answer:
    """The mean loss, and its gradient N C in the logits."""

    loss: float
    gradient: NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """A problem's size, and the body form (a key of `Server.dialects`) in which it is sent."""

    name: str
    title: str
    rows: int
    classes: int
    form: str


CASES = (
    Case("json-1x10", "1x10 JSON", 1, 10, "json"),
    Case("json-32x1000", "32x1000 JSON", 32, 1000, "json"),
)


def problem(case: Case) -> Problem:
    """A normal sample, the same in every run."""
    generator = np.random.default_rng(SEED)
    logits = generator.standard_normal((case.rows, case.classes), dtype=np.float32)
    return Problem(logits, generator.integers(0, case.classes, case.rows))


def torch_answer(asked: Problem) -> Answer:
    """What torch computes in this process."""
    logits = torch.from_numpy(asked.logits).requires_grad_()
    loss = F.cross_entropy(logits, torch.from_numpy(asked.target))
    (gradient,) = torch.autograd.grad(loss, logits)
    return Answer(loss.item(), gradient.numpy())


@dataclass(frozen=True)
class Dialect:
    """How a server is asked in one body form. `path` may hold `{answer_bytes}`, the length of Gradwire's own answer.

    Without `decode` only the length of the answer is checked.
    """

    path: str
    headers: dict[str, str]
    encode: Callable[[Problem], bytes]
    decode: Callable[[bytes], Answer] | None
