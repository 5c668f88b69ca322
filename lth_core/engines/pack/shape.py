"""What the slots of one pack have in common, and which arithmetic it runs: functions of a plan and a device alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lth_core.engines.base import Plan
from lth_core.engines.choice import FULLY_CONNECTED
from lth_core.engines.conv.support import CONVOLUTIONAL
from lth_core.engines.pack.layout import Arrangement, num_elements, parameters
from lth_core.engines.pack.stages import Stage, arrangement_for_stages, stages
from lth_core.model_spec import ModelSpec
from lth_core.names import NormalisationKind
from lth_core.parts import Train
from lth_core.tensor_spec import TensorSpec

OptimizerKind = Literal["sgd", "momentum", "adam"]
Variant = Literal["own", "bmm", "branches"]
"""The arithmetic of a pack, part of its numerical identity.

`own`: one program per (slot, tile) in Triton, or slot after slot in plain torch on a CPU. `bmm`: the library's batched
products, whose bits may depend on the number of slots. `branches`: one single-replicate step per slot by autograd, for
any network.
"""

NUM_MOMENTS: dict[OptimizerKind, int] = {"sgd": 0, "momentum": 1, "adam": 2}
MOMENT_NAMES: dict[OptimizerKind, tuple[str, ...]] = {
    "sgd": (),
    "momentum": ("momentum",),
    "adam": ("mean", "square"),
}


@dataclass(frozen=True)
class PackShape:
    """What must be equal for two trainings to share a pack; everything else is a property of a slot.

    Attributes:
        model: The network.
        tensors: Its tensors in state_dict order.
        in_shape: Shape of one example, channels first.
        num_classes: Size of the output layer.
        dataset: Digest of the data set.
        normalisation: What its bytes become.
        batch_size: Examples of one step.
        optimizer: How weights are updated.
        variant: The arithmetic.
    """

    model: ModelSpec
    tensors: tuple[TensorSpec, ...]
    in_shape: tuple[int, ...]
    num_classes: int
    dataset: str
    normalisation: NormalisationKind
    batch_size: int
    optimizer: OptimizerKind
    variant: Variant

    @classmethod
    def of(cls, plan: Plan, *, wanted: Variant = "own") -> PackShape:
        """Return the shape of the pack a plan trains in.

        Args:
            plan: The training.
            wanted: The arithmetic wanted; where it does not exist, another takes its place: `own` is for networks of
                3x3 convolutions and fully connected layers alone, without dropout and augmentation, `bmm` for fully
                connected ones.

        Raises:
            ValueError: If the plan asks for what only the reference does.
        """
        if plan.held or plan.tightening is not None:
            raise ValueError("held weights and a mask that tightens are trained by the reference engine only")
        lineage = plan.lineage
        return cls(
            model=lineage.model,
            tensors=lineage.tensors(),
            in_shape=lineage.in_shape,
            num_classes=lineage.num_classes,
            dataset=lineage.dataset_digest,
            normalisation=lineage.normalisation,
            batch_size=lineage.train.batch_size,
            optimizer=optimizer_kind(lineage.train),
            variant=variant_of(lineage.model, lineage.train, wanted),
        )

    def stages(self) -> tuple[Stage, ...]:
        """Return what the `own` and `bmm` arithmetic computes one after the other."""
        return stages(self.tensors, self.in_shape)

    def arrangement(self) -> Arrangement:
        """Return where the parameters lie in a row."""
        if self.variant == "branches" or self.model.name in FULLY_CONNECTED:
            return Arrangement(num_elements(parameters(self.tensors)))
        return arrangement_for_stages(self.tensors, self.in_shape)


def variant_of(model: ModelSpec, train: Train, wanted: Variant) -> Variant:
    """Return the arithmetic that trains a network, the wanted one where it exists."""
    is_dense = model.name in FULLY_CONNECTED
    has_kernels = is_dense or (model.name in CONVOLUTIONAL and not model.dropout)
    if wanted == "branches" or not has_kernels or train.flip or train.crop_padding:
        return "branches"
    return wanted if is_dense else "own"


def optimizer_kind(train: Train) -> OptimizerKind:
    """Return how a recipe updates weights."""
    if train.optimizer == "adam":
        return "adam"
    return "momentum" if train.momentum else "sgd"
