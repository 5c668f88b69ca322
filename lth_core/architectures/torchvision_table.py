"""The tensors of torchvision's classification models, read from a table so that planning needs no torchvision.

`python -m workers.torchvision_table` writes the table out of the installed torchvision, and checks it against one.
"""

from __future__ import annotations

import gzip
import json
import math
from functools import lru_cache
from importlib.resources import files
from typing import Any

from lth_core.tensor_spec import TensorKind, TensorSpec

TABLE = "torchvision_tensors.json.gz"
KINDS: dict[str, TensorKind] = {
    "c": "conv",
    "f": "fc",
    "o": "output",
    "b": "bias",
    "n": "norm",
    "r": "buffer",
    "x": "other",
}
"""Kinds by their letter in the table."""
CHANNELS = 3
MAXVIT_SIDE = 224
"""Sides of a MaxViT's examples are multiples of it: five halvings down to windows of 7x7."""
POSITIONS = "encoder.pos_embedding"
PATCHES = "conv_proj.weight"


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """Return the table: torchvision's version, and per model its smallest side and its tensors.

    A tensor is [name, letter of its kind, shape]; 0 stands for the number of classes.
    """
    packed = files("lth_core.architectures").joinpath(TABLE).read_bytes()
    loaded: dict[str, Any] = json.loads(gzip.decompress(packed))
    return loaded


def torchvision_tensors(arch: str, in_shape: tuple[int, ...], num_classes: int) -> tuple[TensorSpec, ...]:
    """Return the tensors of a torchvision model in state_dict order, its output layer of `num_classes` units.

    Auxiliary classifiers are off. Constants that are computed from the architecture alone (index tables of attention
    windows, batch counters) are no tensors of it.

    Raises:
        ValueError: If there is no such model, or it does not fit the data.
    """
    models = table()["models"]
    if arch not in models:
        raise ValueError(f"arch must be one of {', '.join(sorted(models))}, got {arch!r}")
    _check_shape(arch, in_shape, models[arch]["min_side"])
    tensors = [
        _tensor(name, KINDS[letter], tuple(size or num_classes for size in shape))
        for name, letter, shape in models[arch]["tensors"]
    ]
    if arch.startswith("vit_"):
        tensors = _positions_of(tensors, arch, in_shape)
    return tuple(tensors)


def _tensor(name: str, kind: TensorKind, shape: tuple[int, ...]) -> TensorSpec:
    """Make a tensor with the fans of its shape: channels times the size of the kernel."""
    area = math.prod(shape[2:])
    fans = (shape[1] * area, shape[0] * area) if len(shape) > 1 else (shape[0], shape[0])
    return TensorSpec(name, shape, kind, *fans)


def _check_shape(arch: str, in_shape: tuple[int, ...], min_side: int) -> None:
    channels, height, width = in_shape
    if channels != CHANNELS:
        raise ValueError(f"{arch} takes examples of {CHANNELS} channels, got {channels}")
    if min(height, width) < min_side:
        raise ValueError(f"{arch} takes examples of at least {min_side}x{min_side}, got {height}x{width}")
    if arch.startswith("maxvit_") and (height != width or height % MAXVIT_SIDE):
        raise ValueError(f"{arch} takes square examples with a side divisible by {MAXVIT_SIDE}, got {height}x{width}")


def _positions_of(tensors: list[TensorSpec], arch: str, in_shape: tuple[int, ...]) -> list[TensorSpec]:
    """Give a vision transformer one position for each patch of the examples, and one for the class token."""
    patch = next(tensor.shape[-1] for tensor in tensors if tensor.name == PATCHES)
    height, width = in_shape[1:]
    if height != width or height % patch:
        raise ValueError(f"{arch} takes square examples with a side divisible by {patch}, got {height}x{width}")
    num = (height // patch) ** 2 + 1
    return [
        _tensor(tensor.name, tensor.kind, (1, num, tensor.shape[2])) if tensor.name == POSITIONS else tensor
        for tensor in tensors
    ]
