"""What the engine trains, told without torch: plan, key and worker ask before anything is loaded."""

from __future__ import annotations

from lth_core.architectures.convolutional import CHANNELS
from lth_core.model_spec import ModelSpec
from lth_core.parts import Train

CONVOLUTIONAL = frozenset(CHANNELS)


def supports(model: ModelSpec, train: Train, device_class: str, *, held: bool = False, tightens: bool = False) -> bool:
    """Tell whether the engine trains a network: Conv-2, Conv-4 or Conv-6 on a CPU, in float32, under one mask.

    Dropout, augmentation, label smoothing and every optimizer are as the recipe says; networks with normalisation,
    pruned weights that keep a value and masks that tighten are the reference's.

    Args:
        model: The network.
        train: Its recipe.
        device_class: "cpu" or "cuda".
        held: Whether pruned weights keep a value other than zero.
        tightens: Whether the mask changes while the network trains.
    """
    plain = model.name in CONVOLUTIONAL and train.precision == "float32"
    return plain and device_class == "cpu" and not held and not tightens
