"""Which engine trains what: a function of the computation alone, so that plan, key and worker agree without torch."""

from __future__ import annotations

from typing import Literal

from lth_core.model_spec import ModelSpec
from lth_core.parts import Train

EngineKind = Literal["reference", "cpu"]

NUMERICS_OF: dict[EngineKind, int] = {"reference": 1, "cpu": 2}
"""Version of each engine's arithmetic, no number used twice; raised whenever the same spec computes other bits."""

FULLY_CONNECTED = frozenset({"lenet_300_100", "mlp"})


def engine_of(
    model: ModelSpec, train: Train, device_class: str, *, held: bool = False, tightens: bool = False
) -> EngineKind:
    """Return which engine is to train a network.

    Where its native kernels cannot run, the reference takes its place, and the manifest says so.

    Args:
        model: The network.
        train: Its recipe.
        device_class: "cpu" or "cuda".
        held: Whether pruned weights keep a value other than zero.
        tightens: Whether the mask changes while the network trains.
    """
    if device_class != "cpu" or held or tightens:
        return "reference"
    augments = train.flip or train.crop_padding
    return "cpu" if model.name in FULLY_CONNECTED and not augments else "reference"
