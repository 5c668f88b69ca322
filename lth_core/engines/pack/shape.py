"""What the slots of one pack have in common, and which arithmetic it runs: functions of a plan and a device alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lth_core.engines.base import Plan
from lth_core.engines.choice import FULLY_CONNECTED
from lth_core.model_spec import ModelSpec
from lth_core.names import NormalisationKind
from lth_core.parts import Train
from lth_core.tensor_spec import TensorSpec

OptimizerKind = Literal["sgd", "momentum", "adam"]
Variant = Literal["own", "bmm", "branches"]
"""The arithmetic of a pack, part of its numerical identity.

`own`: one program per (slot, tile) in Triton, or slot after slot in plain torch on a CPU. `bmm`: the library's batched
products, whose bits may depend on the number of slots. `branches`: one single-replicate step per slot by autograd.
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
    def of(cls, plan: Plan, *, dense_variant: Variant = "own") -> PackShape:
        """Return the shape of the pack a plan trains in.

        Args:
            plan: The training.
            dense_variant: Arithmetic of fully connected networks, "own" or "bmm".

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
            variant=dense_variant if is_dense(lineage.model, lineage.train) else "branches",
        )


def is_dense(model: ModelSpec, train: Train) -> bool:
    """Tell whether the kernels for fully connected networks can train it: no convolutions and no augmentation."""
    return model.name in FULLY_CONNECTED and not train.flip and not train.crop_padding


def optimizer_kind(train: Train) -> OptimizerKind:
    """Return how a recipe updates weights."""
    if train.optimizer == "adam":
        return "adam"
    return "momentum" if train.momentum else "sgd"
