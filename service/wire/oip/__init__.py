"""The Open Inference Protocol (KServe v2, with Triton's binary tensors): bodies to requests, results to bodies.

A request's inputs are the loss's tensors, its parameters the loss's options; its outputs are `loss`, `gradients.<name>`
and what the loss answers beside them. Tensors are JSON, or lie behind the JSON in the order of the inputs
(https://github.com/kserve/open-inference-protocol; Triton's binary tensor data extension).
"""

from service.wire.oip.answer import encode
from service.wire.oip.envelope import VERSION
from service.wire.oip.request import Call, Members, decode, decode_beside, members_beside

__all__ = ["VERSION", "Call", "Members", "decode", "decode_beside", "encode", "members_beside"]
