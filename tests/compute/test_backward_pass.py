"""The backward pass from given gradients, held to torch's own; and that no computation loads SymPy."""

from __future__ import annotations

import sys

import pytest
import torch

from schemas.catalogue import example
from schemas.losses import LOSSES
from schemas.operations import OPERATIONS
from service.compute.backward_pass import backward_pass
from tests.asgi import InProcess


@pytest.mark.parametrize("there", [True, False], ids=("its engine", "a torch without it"))
def test_it_is_torchs_vector_jacobian_product(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not there:
        monkeypatch.setattr("service.compute.backward_pass.engine", None)
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    w = torch.tensor([[0.5, 1.0, 2.0], [4.0, 0.0, -1.0]], requires_grad=True)
    unused = torch.ones(2, 2, requires_grad=True)
    outputs = [w @ x, x.exp()]
    starts = [torch.tensor([1.0, 10.0]), torch.tensor([3.0, 0.0, -1.0])]
    expected = torch.autograd.grad(
        outputs, [x, w, unused], starts, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    for again in (True, False):  # the second pass frees the graph
        found = backward_pass(outputs, [x, w, unused], starts, again=again)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert x.grad is None
    with pytest.raises(RuntimeError, match="second time"):
        backward_pass(outputs, [x], starts)


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (3, 2), ()])
def test_a_start_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="gradient of shape"):
        backward_pass([x * 2], [x], [torch.ones(shape)])


def test_nothing_computed_needs_symbolic_shapes(client: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sympy", "torch.fx.experimental.symbolic_shapes"):
        monkeypatch.setitem(sys.modules, name, None)  # to import it raises ImportError
    for cls in LOSSES.values():
        members = example(cls)
        client.answer(**members)
        every = [
            name for name, field in cls.tensor_fields.items() if field.differentiable == "always" and name in members
        ]
        client.answer(**members | {"gradients": every})
    for operation in OPERATIONS.values():
        client.answer(None, operation.path, **operation.example)
