"""The export `open_lth`: a zip with mask, sparsity report and weights in the folders and names of that framework."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_core.model_spec import ModelSpec

Array = np.ndarray[Any, Any]

NUM_LENET_INPUTS = 784
"""Inputs of that framework's fully connected network, which is built for MNIST."""


@dataclass(frozen=True)
class Naming:
    """How a network is called in open_lth.

    Attributes:
        names: Its parameter names by ours.
        note: Why there is no counterpart and the names are ours; None where there is one.
    """

    names: dict[str, str]
    note: str | None


def naming(model: ModelSpec, weights: Mapping[str, Array]) -> Naming:
    """Return open_lth's parameter names of a network.

    Its `mnist_lenet_<hidden sizes>` has hidden layers `fc_layers.<i>` and the output layer `fc`. It has no
    counterpart to other networks or inputs; those keep our names.
    """
    layers = [name.removesuffix(".weight") for name in weights if name.endswith(".weight")]
    if model.name not in ("lenet_300_100", "mlp"):
        ours = {name: name for name in weights}
        return Naming(ours, f"open_lth has no counterpart to {model.name}: parameter names are those of this service")
    theirs = {layer: f"fc_layers.{i}" for i, layer in enumerate(layers[:-1])} | {layers[-1]: "fc"}
    names = {f"{layer}.{part}": f"{theirs[layer]}.{part}" for layer in layers for part in ("weight", "bias")}
    num_inputs = weights[f"{layers[0]}.weight"].shape[1]
    if num_inputs == NUM_LENET_INPUTS:
        return Naming(names, None)
    return Naming(names, f"open_lth's mnist_lenet takes {NUM_LENET_INPUTS} inputs, this network takes {num_inputs}")


def model_file(rewind_step: int, num_train: int, batch_size: int) -> str:
    """Return that framework's name of the weights after a step; it counts the last, shorter batch of an epoch."""
    epoch, iteration = divmod(rewind_step, -(-num_train // batch_size))
    return f"model_ep{epoch}_it{iteration}.pth"


def export_open_lth(
    model: ModelSpec, masks: Mapping[str, Array], rewind: Mapping[str, Array], *, level: int, weights_file: str
) -> bytes:
    """Return a ticket as a zip of the folders that open_lth reads.

    `level_<n>/main/` has `mask.pth` (int32), `sparsity_report.json` and the masked rewind weights; `level_0/main/`
    has the unmasked ones, from which that framework starts every level.

    Args:
        model: The network, which decides the names.
        masks: Boolean arrays by our parameter names in state_dict order, True = kept.
        rewind: The weights to rewind to, all parameters and buffers.
        level: How often the network was pruned.
        weights_file: Name of the weights' file, from `model_file`.

    Returns:
        The bytes of the archive, the same for the same ticket and version of torch.
    """
    named = naming(model, rewind)
    masked = {
        name: np.where(masks[name], weights, np.zeros_like(weights)) if name in masks else weights
        for name, weights in rewind.items()
    }
    folder = f"level_{level}/main"
    files = {
        f"{folder}/mask.pth": _archive({named.names[name]: mask.astype(np.int32) for name, mask in masks.items()}),
        f"{folder}/sparsity_report.json": _report(masks, named.note),
        f"{folder}/{weights_file}": _archive({named.names[name]: value for name, value in masked.items()}),
    }
    files[f"level_0/main/{weights_file}"] = _archive({named.names[name]: value for name, value in rewind.items()})
    return _zip(files)


def _report(masks: Mapping[str, Array], note: str | None) -> bytes:
    total = float(sum(mask.size for mask in masks.values()))
    unpruned = float(sum(int(mask.sum()) for mask in masks.values()))
    report: dict[str, Any] = {"total": total, "unpruned": unpruned}
    if note is not None:
        report["note"] = note
    return json.dumps(report, indent=4).encode()


def _archive(arrays: Mapping[str, Array]) -> bytes:
    """Write arrays as torch does; its archives carry no time and no name, so equal arrays give equal bytes."""
    import torch

    file = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(value, order="C")) for name, value in arrays.items()}, file)
    return file.getvalue()


def _zip(files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            file.writestr(entry, content)
    return archive.getvalue()
