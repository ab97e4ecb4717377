"""The cross entropy under MLServer, as documented: two models that speak the Open Inference Protocol.

`mlserver start` on `models/documented/` starts them. Unbatched: adaptive batches of up to 16 were slower in every case.
A batch joins its requests along their tensors' first dimension, so that each request's has to be one for its mean to be
its own, and joins only requests of one shape.
"""

import numpy as np
import torch
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.cross_entropy import compute_together, from_lists, from_raw, to_raw


class Lists(MLModel):
    """Tensors as JSON lists: `input` B N C and `target` B N to `loss` B and `gradient` B N C."""

    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        tensors = {one.name: NumpyCodec.decode_input(one) for one in payload.inputs}
        asked = [from_lists(*one) for one in zip(tensors["input"], tensors["target"], strict=True)]
        found = compute_together(asked)
        losses = np.array([loss for loss, _ in found], dtype=np.float32)
        gradients = torch.stack([gradient for _, gradient in found]).numpy()
        outputs = [NumpyCodec.encode_output("loss", losses), NumpyCodec.encode_output("gradient", gradients)]
        return InferenceResponse(model_name=self.name, outputs=outputs)


class Packed(Lists):
    """Raw bytes in base64, the only way in which MLServer takes bytes over HTTP: `BYTES` B 1 to `BYTES` B 1."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        found = compute_together([from_raw(body) for body in Base64Codec.decode_input(payload.inputs[0])])
        output = Base64Codec.encode_output("found", [to_raw(one) for one in found])
        return InferenceResponse(model_name=self.name, outputs=[output])
