"""Multi-label losses."""

from __future__ import annotations

import torch.nn.functional as F

from schemas.losses.multilabel import MultiLabelMargin, MultiLabelSoftMargin
from service.losses.formula import Tensors, Terms, register


# The CPU kernels know no half types.
@register(MultiLabelMargin, half=False)
def _(_r: MultiLabelMargin, t: Tensors) -> Terms:
    return Terms(F.multilabel_margin_loss(t["input"], t["target"], reduction="none"))


@register(MultiLabelSoftMargin, pads=True)
def _(_r: MultiLabelSoftMargin, t: Tensors) -> Terms:
    return Terms(F.multilabel_soft_margin_loss(t["input"], t["target"], t.get("weight"), reduction="none"))
