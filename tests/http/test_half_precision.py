"""Losses whose CPU kernels know no half types are computed in float32 and rounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.asgi import InProcess

REQUESTS: dict[str, dict[str, Any]] = {
    "multi_margin_loss": {"input": [[0.1, 0.2, 0.4], [0.5, -0.3, 0.2]], "target": [2, 0]},
    "multilabel_margin_loss": {"input": [[0.1, 0.2, 0.4, 0.8]], "target": [[3, 0, -1, 1]]},
    "ctc_loss": {
        "log_probs": [[[-0.5, -1.5, -1.7]], [[-1.2, -0.7, -1.6]], [[-0.9, -1.3, -1.1]]],
        "targets": [[1, 2]],
        "input_lengths": [3],
        "target_lengths": [2],
    },
}


def rounded(values: Any, dtype: str) -> Any:
    """The values in a half type, as float32."""
    return torch.tensor(values, dtype=torch.float32).to(getattr(torch, dtype)).float().numpy()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("loss", REQUESTS)
def test_half_types_are_float32_rounded(client: InProcess, loss: str, dtype: str) -> None:
    request = REQUESTS[loss]
    name = next(iter(request))
    half = client.answer(loss, **request, dtype=dtype)
    exact = client.answer(loss, **request | {name: rounded(request[name], dtype).tolist()}, dtype="float32")
    assert half["dtype"] == dtype
    assert np.float32(half["loss"]) == rounded(exact["loss"], dtype)
    gradient = np.array(half["gradients"][name], np.float32)
    assert np.array_equal(gradient, rounded(exact["gradients"][name], dtype))
