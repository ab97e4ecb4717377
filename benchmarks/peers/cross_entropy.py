"""What every peer's service does beside its framework: bodies to tensors, the loss with its gradient, and back.

Written for speed: orjson, views of the body. It runs in the peers' environments, which hold torch,
NumPy and orjson but not Gradwire.
"""

import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import orjson
import torch
import torch.nn.functional as F

# Views of a body are read only; nothing here writes to them.
warnings.filterwarnings("ignore", "The given (NumPy array|buffer) is not writable")

HEADER = 8
# Logits N C (float32) and targets N (int64); the loss and its gradient N C.
Asked: TypeAlias = tuple[torch.Tensor, torch.Tensor]
Found: TypeAlias = tuple[float, torch.Tensor]


def from_json(body: bytes) -> Asked:
    members = orjson.loads(body)
    logits = np.asarray(members["input"], dtype=np.float32)
    return torch.from_numpy(logits), torch.from_numpy(np.asarray(members["target"], dtype=np.int64))


def to_json(found: Found) -> bytes:
    loss, gradient = found
    return orjson.dumps({"loss": loss, "gradients": {"input": gradient.numpy()}}, option=orjson.OPT_SERIALIZE_NUMPY)


def from_lists(logits: Any, target: Any) -> Asked:
    """What a framework has parsed itself: nested lists, or arrays."""
    return torch.as_tensor(logits, dtype=torch.float32), torch.as_tensor(target, dtype=torch.int64)


def to_lists(found: Found) -> dict[str, Any]:
    """For a framework that writes the JSON itself."""
    loss, gradient = found
    return {"loss": loss, "gradients": {"input": gradient.tolist()}}


def from_raw(body: bytes | bytearray) -> Asked:
    """Rows and classes (int32), the targets, the logits: little-endian, row by row."""
    rows, classes = np.frombuffer(body, dtype="<i4", count=2).tolist()
    target = torch.frombuffer(body, dtype=torch.int64, count=rows, offset=HEADER)
    logits = torch.frombuffer(body, dtype=torch.float32, count=rows * classes, offset=HEADER + 8 * rows)
    return logits.view(rows, classes), target


def to_raw(found: Found) -> bytes:
    """The loss (float32), then the gradient."""
    loss, gradient = found
    return np.float32(loss).tobytes() + gradient.numpy().tobytes()


def compute(asked: Asked) -> Found:
    logits, target = asked
    logits = logits.requires_grad_()
    loss = F.cross_entropy(logits, target)
    (gradient,) = torch.autograd.grad(loss, logits)
    return loss.item(), gradient


def compute_together(asked: Sequence[Asked]) -> list[Found]:
    """Each one's own mean and its gradient: in one call of torch where all have the same shape, else one by one."""
    if len({logits.shape for logits, _ in asked}) != 1 or len(asked) == 1:
        return [compute(one) for one in asked]
    logits = torch.stack([logits for logits, _ in asked]).requires_grad_()
    target = torch.stack([target for _, target in asked])
    losses = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view(target.shape).mean(dim=1)
    (gradients,) = torch.autograd.grad(losses.sum(), logits)
    return list(zip(losses.tolist(), gradients, strict=True))
