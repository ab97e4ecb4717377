"""Losses over many classes that come with the layer which makes their scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from schemas.check import Checked
from schemas.dims import numel
from schemas.field import Floats, Indices, Integers, TensorField
from schemas.layout import Layout
from schemas.losses.classification import IGNORED, SMOOTHING, CrossEntropyTargets
from schemas.problem import Fault, place
from schemas.request import ABSENT, About, Int64, LossRequest, Predicted
from schemas.tensor import Tensor
from schemas.values import position

if TYPE_CHECKING:
    from schemas.vectors.drawing import Drawing

MAX_CHUNKS = 1024
"""Chunks that one request may be computed in; each is a pass over the linear layer."""


class LinearCrossEntropy(CrossEntropyTargets):
    """Cross entropy of logits that a linear layer makes from hidden features."""

    about = About(
        family="classification",
        formula=r"\ell = \operatorname{cross\_entropy}(x W^{\top} + b,\; y)",
        mean="as for cross_entropy",
        example={
            "input": [[0.5, -1.0], [0.1, 0.4]],
            "linear_weight": [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]],
            "target": [0, 2],
        },
        notes=(
            *IGNORED,
            SMOOTHING,
            "Never stacked with other requests: a matrix product's last bits depend on the number of rows.",
            "Without chunk_size the logits are made whole; with it at most that many rows of them at a time. The "
            "chunk size changes the last bits. It takes class indices, two-dim linear_weight and no smoothing.",
            "ignore_index is refused with probability targets, as in PyTorch.",
        ),
    )

    predictions: ClassVar[tuple[str, ...]] = ("input", "linear_weight", "linear_bias")
    predicts: ClassVar[Predicted | None] = None  # its logits are made on the way

    loss: Literal["linear_cross_entropy", "LinearCrossEntropyLoss"] = "linear_cross_entropy"
    input: Annotated[Tensor, Floats("F | N F")] = Field(description="Hidden features.")
    linear_weight: Annotated[Tensor, Floats("C F | C *D F")] = Field(description="The linear layer's weight.")
    target: Annotated[Tensor, Indices("() | N *D", probabilities="C | N C *D")] = Field(
        description="The true classes, or their probabilities."
    )
    linear_bias: Annotated[Tensor, Floats("C | C *D")] = Field(ABSENT, description="The linear layer's bias.")
    weight: Annotated[Tensor, Floats("C", differentiable="with probabilities")] = Field(
        ABSENT, description="A weight for each class."
    )
    ignore_index: Int64 = Field(-100, description="Class indices of this value do not contribute.")
    label_smoothing: float = Field(
        0.0, ge=0, le=1, description="The share of each target that is spread evenly over all classes."
    )
    chunk_size: Int64 = Field(ABSENT, ge=1, description="Rows of logits made at a time; left out, all of them.")

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """The logits count."""
        classes = layout.size("C")
        if classes is not None:
            layout.elements += numel(layout.unreduced) * classes

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Chunks are for what torch's chunked form takes."""
        super().check(checked, faults)
        if self.chunk_size is None:
            return
        weight_dims = checked.tensors["linear_weight"].ndim
        if checked.layout.probabilities or self.label_smoothing or weight_dims > 2:
            faults.append(
                Fault("/chunk_size", "goes with class indices, a linear_weight of two dims and no label_smoothing")
            )
        if not checked.layout.size("C"):
            faults.append(Fault("/chunk_size", "goes with at least one class"))
        if checked.count > self.chunk_size * MAX_CHUNKS:
            least = -(-checked.count // MAX_CHUNKS)
            faults.append(Fault("/chunk_size", f"makes more than {MAX_CHUNKS} chunks; at least {least} is needed"))

    def once_only(self) -> str | None:
        """In chunks, the gradients are made in the forward pass."""
        chunked = self.__dict__["chunk_size"] is not None
        return "with chunk_size, PyTorch does not differentiate the gradient again" if chunked else None

    def refuses_ignore_index(self) -> bool:
        """PyTorch refuses any, once given."""
        return True


class TailCluster(BaseModel):
    """The two matrices of one tail cluster: features are projected down, then scored against the cluster's classes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    projection: Tensor = Field(description="Shape `P F`, P = F // div_value**(i+1).")
    output: Tensor = Field(description="Shape `K P`, K the number of classes in the cluster.")


class AdaptiveLogSoftmaxWithLoss(LossRequest):
    """Cross entropy of an adaptive softmax: frequent classes in a head, rare ones in smaller tail clusters."""

    about = About(
        family="classification",
        formula=r"\ell_n = -\log p(y_n \mid x_n), \quad p(y) = p_{head}(\text{cluster}) \, p_{cluster}(y)",
        mean="N",
        example={
            "input": [[0.5, -1.0, 0.3, 0.8]],
            "target": [2],
            "cutoffs": [2],
            "div_value": 2.0,
            "head_weight": [[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.0, 0.1, 0.0, 0.1]],
            "tail": [{"projection": [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]], "output": [[1.0, 0.0], [0.0, 1.0]]}],
        },
        notes=(
            "The answer has `output` beside the loss: the log-probability of each target.",
            "Never stacked with other requests.",
            "The number of classes is the last cutoff plus the rows of the last cluster's output matrix.",
            "Gradients in the tail are named tail.<i>.projection and tail.<i>.output.",
        ),
        source="torch.nn.AdaptiveLogSoftmaxWithLoss; Grave et al., arXiv:1609.04309",
    )
    unreduced: ClassVar[str] = "() | N"
    predictions: ClassVar[tuple[str, ...]] = ("input", "head_weight", "head_bias")

    loss: Literal["adaptive_log_softmax_with_loss", "AdaptiveLogSoftmaxWithLoss"] = "adaptive_log_softmax_with_loss"
    input: Annotated[Tensor, Floats("F | N F")] = Field(description="Hidden features.")
    target: Annotated[Tensor, Integers("() | N")] = Field(description="The true classes, by falling frequency.")
    head_weight: Annotated[Tensor, Floats("H F")] = Field(
        description="The head's weight: one row for each of the first cutoffs[0] classes, then one for each cluster."
    )
    tail: list[TailCluster] = Field(max_length=16, description="The tail clusters, one for each cutoff.")
    cutoffs: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=1, max_length=16, description="Where the clusters start, rising."
    )
    head_bias: Annotated[Tensor, Floats("H")] = Field(ABSENT, description="The head's bias.")
    div_value: float = Field(4.0, ge=0.01, le=1e6, description="Each cluster's features are this many times fewer.")
    extra_answers: ClassVar[tuple[str, ...]] = ("output",)
    varied: ClassVar[Mapping[str, tuple[Any, ...]]] = {"cutoffs": ([1, 3],), "div_value": (4.0,), "tail": ()}

    def arrays(self) -> dict[str, Tensor]:
        """The common ones, and the tail's matrices as `tail.<i>.projection` and `tail.<i>.output`."""
        found = super().arrays()
        for at, cluster in enumerate(self.tail):
            found[f"tail.{at}.projection"] = cluster.projection
            found[f"tail.{at}.output"] = cluster.output
        return found

    @classmethod
    def fields_of(cls, given: dict[str, Tensor]) -> dict[str, TensorField]:
        """The tail's matrices are floating-point tensors like any."""
        tail = {name: Floats("K P") for name in given if name.startswith("tail.")}
        return {**cls.tensor_fields, **tail}

    def default_gradients(self) -> tuple[str, ...]:
        """Also the whole tail."""
        return (*self.predictions, *(name for name in self.arrays() if name.startswith("tail.")))

    @classmethod
    def arrange(cls, layout: Layout) -> None:
        """The scores of head and tail count, for every row."""
        rows = numel(layout.unreduced)
        layout.elements += rows * (layout.size("H") or 0)
        for name, shape in layout.shapes.items():
            if name.startswith("tail.") and shape:
                layout.elements += rows * shape[0]

    @classmethod
    def drawn(cls, drawing: Drawing, members: dict[str, Any]) -> None:
        """Eight features, and a head and clusters of two classes or more that go with the cutoffs."""
        if "tail" in members:
            return
        cutoffs = members.setdefault("cutoffs", [2])
        divides = members.setdefault("div_value", 2.0)
        features = 8
        head = cutoffs[0] + len(cutoffs)
        members["input"] = np.resize(members["input"], (*members["input"].shape[:-1], features))
        members["head_weight"] = np.resize(members["head_weight"], (head, features))
        if "head_bias" in members:
            members["head_bias"] = np.resize(members["head_bias"], (head,))
        bounds = [*cutoffs, cutoffs[-1] + 2]
        members["tail"] = [
            {
                "projection": drawing.floats((int(features // divides ** (at + 1)), features)),
                "output": drawing.floats((bounds[at + 1] - bounds[at], int(features // divides ** (at + 1)))),
            }
            for at in range(len(cutoffs))
        ]
        members["target"] = drawing.whole(members["target"].shape, 0, bounds[-1])

    def check(self, checked: Checked, faults: list[Fault]) -> None:
        """Cutoffs rise; head and tail have the sizes that they and div_value make; targets are classes."""
        if sorted(set(self.cutoffs)) != self.cutoffs:
            faults.append(Fault("/cutoffs", "must rise strictly"))
            return
        if len(self.tail) != len(self.cutoffs):
            faults.append(Fault("/tail", f"{len(self.tail)} clusters, but {len(self.cutoffs)} cutoffs"))
            return
        tensors = checked.tensors
        features = checked.layout.size("F") or 0
        head = self.cutoffs[0] + len(self.cutoffs)
        self._expect("head_weight", tensors["head_weight"].shape, (head, features), faults)
        last = tensors[f"tail.{len(self.tail) - 1}.output"].shape
        classes = self.cutoffs[-1] + (last[0] if len(last) == 2 else 0)
        bounds = [*self.cutoffs, classes]
        for at in range(len(self.tail)):
            projected = int(features // self.div_value ** (at + 1))
            size = max(bounds[at + 1] - bounds[at], 1)
            self._expect(f"tail.{at}.projection", tensors[f"tail.{at}.projection"].shape, (projected, features), faults)
            self._expect(f"tail.{at}.output", tensors[f"tail.{at}.output"].shape, (size, projected), faults)
        target = tensors["target"]
        outside = (target < 0) | (target >= classes)
        if outside.any():
            where, value = position("target", target, outside)
            faults.append(Fault(where, f"class index {value} is outside [0, {classes})"))

    @staticmethod
    def _expect(name: str, shape: tuple[int, ...], wanted: tuple[int, ...], faults: list[Fault]) -> None:
        if shape != wanted:
            faults.append(Fault(place(name), f"shape {list(shape)}, but the cutoffs make {list(wanted)}"))
