"""On a GPU: the same answers as on the CPU, and batching still equals direct to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from schemas.catalogue import example
from schemas.losses import LOSSES
from service.compute import compute, open_device
from tests.contract.answers import assert_same, parse

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here"),
]


@pytest.mark.parametrize("name", LOSSES)
def test_every_example_is_answered_as_on_the_cpu(name: str) -> None:
    request = example(LOSSES[name])
    (found,) = compute([parse(request)], open_device("cuda"))
    (expected,) = compute([parse(request)], open_device("cpu"))
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5, atol=1e-6)
    assert list(found.gradients) == list(expected.gradients)
    for tensor, gradient in expected.gradients.items():
        np.testing.assert_allclose(found.gradients[tensor], gradient, rtol=1e-5, atol=1e-6, err_msg=tensor)
    assert (found.divisor, found.count, found.ignored) == (expected.divisor, expected.count, expected.ignored)


@pytest.mark.parametrize("name", LOSSES)
def test_batching_equals_direct_to_the_bit(name: str) -> None:
    device = open_device("cuda")
    batch = [parse(example(LOSSES[name])) for _ in range(5)]
    if batch[0].checked.key is None:
        batch = batch[:1]
    assert_same(list(compute(batch, device)), [compute([request], device)[0] for request in batch])
