"""The export `torch_prune`: one safetensors file that loads strictly into a module pruned by torch.nn.utils.prune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors.numpy import save

Array = np.ndarray[Any, Any]


def export_torch_prune(
    masks: Mapping[str, Array], rewind: Mapping[str, Array], constants: Mapping[str, Array], mask_sha256: str
) -> bytes:
    """Return a ticket in the parameter names of `torch.nn.utils.prune`.

    Every masked tensor `<m>.weight` becomes `<m>.weight_orig`, its unmasked rewind weights, and `<m>.weight_mask`,
    ones and zeros in float32; all other parameters and buffers keep their names, batch counters too.

    Args:
        masks: Boolean arrays by parameter name, True = kept.
        rewind: The weights to rewind to, all parameters and running statistics.
        constants: What else the module's `state_dict` has, from `lth_core.networks.build.constants`.
        mask_sha256: Digest of the packed mask, the one metadata entry (more than one would not be byte-stable).

    Returns:
        The bytes of the safetensors file, the same for the same ticket.

    Raises:
        ValueError: If a mask has no weights of its shape.
    """
    tensors: dict[str, Array] = {}
    for name, mask in masks.items():
        if name not in rewind or rewind[name].shape != mask.shape:
            raise ValueError(f"mask {name} of shape {mask.shape} has no rewind weights of that shape")
    for name, weights in rewind.items():
        if name in masks:
            tensors[f"{name}_orig"] = np.ascontiguousarray(weights)
            tensors[f"{name}_mask"] = np.ascontiguousarray(masks[name], dtype=np.float32)
        else:
            tensors[name] = np.ascontiguousarray(weights)
    tensors.update({name: np.ascontiguousarray(value) for name, value in constants.items()})
    return bytes(save(tensors, metadata={"mask_sha256": mask_sha256}))
