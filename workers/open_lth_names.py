"""How networks and their parameters are called in open_lth, for those that it has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_core.architecture import LENET_HIDDEN
from lth_core.architectures.vgg import VGG_CHANNELS, places
from lth_core.model_spec import ModelSpec

Array = np.ndarray[Any, Any]

NUM_LENET_INPUTS = 784
"""Inputs of that framework's fully connected network, which is built for MNIST."""
CHANNELS = 3
SMALL_RESNETS = ("resnet_20", "resnet_32", "resnet_44", "resnet_56", "resnet_110")
_TORCHVISION = re.compile(r"resnet_?(18|34|50|101|152)")
COUNTERPARTS = "lenet_300_100, mlp, resnet_20 to resnet_110, vgg_11 to vgg_19, and torchvision's ResNets"


@dataclass(frozen=True)
class Naming:
    """How a network is called in open_lth.

    Attributes:
        model: Its name there.
        names: Its tensors' names by ours.
        note: Why that network cannot take this one's examples; None where it can.
    """

    model: str
    names: dict[str, str]
    note: str | None


def naming(model: ModelSpec, arrays: Mapping[str, Array]) -> Naming:
    """Return open_lth's names of a network and its tensors.

    Args:
        model: The network. The VGGs there are for examples of 32x32, which shapes of tensors do not show.
        arrays: Its tensors by our names in state_dict order, with batch counters where they are to be named too.

    Raises:
        ValueError: If that framework has no such network.
    """
    num_inputs = next(iter(arrays.values())).shape[1]
    if model.name in ("lenet_300_100", "mlp"):
        hidden = model.sizes[1:-1] if model.sizes else LENET_HIDDEN
        theirs = "_".join(["mnist_lenet", *map(str, hidden)])
        fits = num_inputs == NUM_LENET_INPUTS
        note = None if fits else f"open_lth's {theirs} takes {NUM_LENET_INPUTS} inputs, this network takes {num_inputs}"
        return Naming(theirs, {name: _lenet_tensor(name) for name in arrays}, note)
    if model.name in SMALL_RESNETS:
        theirs, rename = f"cifar_{model.name}_{model.width}", _small_resnet(arrays)
    elif model.name in VGG_CHANNELS:
        theirs, rename = f"cifar_{model.name}", _vgg(model.name)
    elif depth := _imagenet_depth(model):
        theirs, rename = f"imagenet_resnet_{depth}", _in_model
    else:
        raise ValueError(f"open_lth has no counterpart to {_called(model)}; it has one to {COUNTERPARTS}")
    if num_inputs != CHANNELS:
        raise ValueError(f"open_lth's {theirs} takes examples of {CHANNELS} channels, this network takes {num_inputs}")
    return Naming(theirs, {name: rename(name) for name in arrays}, None)


def _called(model: ModelSpec) -> str:
    if model.name in ("resnet_18", "resnet_50"):
        return f"{model.name} with stem {model.stem}"
    return model.name if model.arch is None else f"torchvision's {model.arch}"


def _lenet_tensor(name: str) -> str:
    layer, _, part = name.partition(".")
    return f"fc.{part}" if layer == "out" else f"fc_layers.{int(layer[2:]) - 1}.{part}"


def _small_resnet(names: Iterable[str]) -> Callable[[str], str]:
    """Blocks are numbered through there, and shortcuts called so."""
    blocks = dict.fromkeys(".".join(name.split(".")[:2]) for name in names if name.startswith("layer"))
    number = {block: i for i, block in enumerate(blocks)}

    def rename(name: str) -> str:
        layer, i, rest = (*name.split(".", 2), "")[:3]
        if f"{layer}.{i}" in number:
            return f"blocks.{number[f'{layer}.{i}']}.{rest.replace('downsample', 'shortcut')}"
        return name.replace("conv1.", "conv.").replace("bn1.", "bn.")

    return rename


def _vgg(model: str) -> Callable[[str], str]:
    """A convolution and its normalisation are one layer there, a pooling is one too."""
    layers: dict[str, str] = {}
    number = before = 0
    for place, _, _ in places(VGG_CHANNELS[model], CHANNELS):
        number += 1 if place and place - before == 3 else 2 if place else 0
        layers[f"features.{place}"] = f"layers.{number}.conv"
        layers[f"features.{place + 1}"] = f"layers.{number}.bn"
        before = place

    def rename(name: str) -> str:
        layer, _, part = name.rpartition(".")
        return f"{layers.get(layer, layer)}.{part}"

    return rename


def _imagenet_depth(model: ModelSpec) -> str | None:
    found = _TORCHVISION.fullmatch(model.arch or model.name)
    return found[1] if found and (model.arch or model.stem == "imagenet") else None


def _in_model(name: str) -> str:
    return f"model.{name}"
