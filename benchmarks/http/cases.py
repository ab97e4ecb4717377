"""What is asked: the cases, as data. A new size, loss or body form is a new record here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

SEED = 20_260


@dataclass(frozen=True)
class Ask:
    """A loss's name in `torch.nn.functional`, its options, and the size of its input."""

    loss: str
    rows: int
    columns: int
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """An `Ask` with its numbers: `input` N C in float32; `target` N in int64 for cross entropy, else N C in float32."""

    loss: str
    options: Mapping[str, str]
    input: NDArray[np.float32]
    target: NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """The reduced loss, and its gradient N C in the input."""

    loss: float
    gradient: NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """`calls` are posted in turn, each with all its losses in the body form `form` (a key of `Server.dialects`)."""

    name: str
    title: str
    form: str
    calls: tuple[tuple[Ask, ...], ...]

    @property
    def losses_a_call(self) -> int:
        return len(self.calls[0])


def _cross_entropy(rows: int, columns: int) -> tuple[tuple[Ask, ...], ...]:
    return ((Ask("cross_entropy", rows, columns),),)


BATCH = 256
_BATCH_CALL = ((Ask("cross_entropy", 1, 10),) * BATCH,)
# What several callers that know nothing of each other send: five losses, tiny and of some thousand numbers, in turn.
_MIXED = (
    Ask("cross_entropy", 1, 10),
    Ask("mse_loss", 1, 10),
    Ask("cross_entropy", 32, 100),
    Ask("binary_cross_entropy_with_logits", 1, 10),
    Ask("smooth_l1_loss", 16, 64),
    Ask("kl_div", 1, 10, {"reduction": "batchmean"}),
    Ask("mse_loss", 32, 32),
    Ask("cross_entropy", 4, 50),
    Ask("binary_cross_entropy_with_logits", 16, 100),
    Ask("smooth_l1_loss", 1, 10),
    Ask("kl_div", 16, 50, {"reduction": "batchmean"}),
    Ask("mse_loss", 4, 8),
)

CASES = (
    Case("json-1x10", "1x10 JSON", "json", _cross_entropy(1, 10)),
    Case("json-32x1000", "32x1000 JSON", "json", _cross_entropy(32, 1000)),
    Case("binary-1x10", "1x10 binary", "binary", _cross_entropy(1, 10)),
    Case("binary-32x1000", "32x1000 binary", "binary", _cross_entropy(32, 1000)),
    Case("binary-64x32000", "64x32000 binary", "binary", _cross_entropy(64, 32_000)),
    Case("json-batch", f"{BATCH} losses 1x10, JSON", "json batch", _BATCH_CALL),
    Case("binary-batch", f"{BATCH} losses 1x10, binary", "binary batch", _BATCH_CALL),
    Case("json-mixed", "mixed losses, JSON", "mixed json", tuple((ask,) for ask in _MIXED)),
)


def problems(asks: Sequence[Ask]) -> list[Problem]:
    """Normal samples, the same in every run; no two of a call are equal."""
    generator = np.random.default_rng(SEED)
    return [_problem(ask, generator) for ask in asks]


def _problem(ask: Ask, generator: np.random.Generator) -> Problem:
    shape = (ask.rows, ask.columns)
    values = generator.standard_normal(shape, dtype=np.float32)
    target: NDArray[np.int64] | NDArray[np.float32]
    if ask.loss == "cross_entropy":
        target = generator.integers(0, ask.columns, ask.rows)
    elif ask.loss == "binary_cross_entropy_with_logits":
        target = generator.random(shape, dtype=np.float32)
    elif ask.loss == "kl_div":
        values, target = (
            np.log(_distribution(values)),
            _distribution(generator.standard_normal(shape, dtype=np.float32)),
        )
    else:
        target = generator.standard_normal(shape, dtype=np.float32)
    return Problem(ask.loss, ask.options, values, target)


def _distribution(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    weights = np.exp(logits)
    shares: NDArray[np.float32] = weights / weights.sum(axis=1, keepdims=True)
    return shares


def torch_answer(asked: Problem) -> Answer:
    """What torch computes in this process."""
    values = torch.from_numpy(asked.input).requires_grad_()
    loss = getattr(F, asked.loss)(values, torch.from_numpy(asked.target), **asked.options)
    (gradient,) = torch.autograd.grad(loss, values)
    return Answer(loss.item(), gradient.numpy())
