"""Which engine trains what: a function of the computation alone, so that plan, key and worker agree without torch."""

from __future__ import annotations

from typing import Literal

from lth_core.engines.conv.support import supports as conv_supports
from lth_core.model_spec import ModelSpec
from lth_core.names import EngineWish
from lth_core.parts import Train

EngineKind = Literal["reference", "cpu", "conv", "pack"]
"""`reference`: plain autograd. `cpu`: native kernels for fully connected networks. `conv`: convolutional ones on a CPU.
`pack`: many trainings in lockstep on one GPU."""

NUMERICS_OF: dict[EngineKind, int] = {"reference": 1, "cpu": 2, "conv": 3, "pack": 5}
"""Version of each engine's arithmetic, no number used twice; raised whenever the same spec computes other bits."""

SLOTS_OF = {"cpu": 1, "cuda": 128}
"""Levels that one engine trains at once, by class of device, unless it is told otherwise."""

FULLY_CONNECTED = frozenset({"lenet_300_100", "mlp"})


def engine_of(
    model: ModelSpec,
    train: Train,
    device_class: str,
    *,
    held: bool = False,
    tightens: bool = False,
    wanted: EngineWish = "auto",
) -> EngineKind:
    """Return which engine is to train a network.

    Where its native kernels cannot run, the reference takes its place, and the manifest says so.

    Args:
        model: The network.
        train: Its recipe.
        device_class: "cpu" or "cuda".
        held: Whether pruned weights keep a value other than zero.
        tightens: Whether the mask changes while the network trains.
        wanted: What was asked for.
    """
    if wanted == "reference" or held or tightens:
        return "reference"
    if device_class == "cuda" or wanted == "pack":
        return "pack"
    if model.name in FULLY_CONNECTED:
        return "reference" if train.flip or train.crop_padding else "cpu"
    return "conv" if conv_supports(model, train, device_class) else "reference"
