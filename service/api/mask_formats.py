"""Masks as files: from the stored bits to safetensors and npz, each the same bytes every time."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from safetensors.numpy import save

Masks = dict[str, "np.ndarray[Any, np.dtype[np.bool_]]"]

MEDIA_TYPES = {
    "safetensors": "application/x-safetensors",
    "packed": "application/vnd.lth.mask",
    "npz": "application/x-npz",
    "torch_prune": "application/x-torch-prune",
    "open_lth": "application/x-open-lth",
}
"""Media type of every form of a mask, the default first."""

EXTENSIONS = {
    "safetensors": "safetensors",
    "packed": "mask",
    "npz": "npz",
    "torch_prune": "torch_prune.safetensors",
    "open_lth": "open_lth.zip",
}
WORKER_FORMATS = frozenset({"torch_prune", "open_lth"})
"""Forms that need torch and are therefore made by a worker."""


def unpack(packed: bytes, layers: Sequence[Mapping[str, Any]]) -> Masks:
    """Return boolean arrays by tensor name from headerless bits (little bit order, C order, no padding between).

    Args:
        packed: The stored bits.
        layers: Name, shape and kept count of each tensor, in state_dict order.

    Raises:
        ValueError: If length or a kept count differs from what the manifest says.
    """
    total = sum(math.prod(layer["shape"]) for layer in layers)
    if len(packed) != (total + 7) // 8:
        raise ValueError(f"the mask has {len(packed)} bytes, {total} weights need {(total + 7) // 8}")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=total, bitorder="little").astype(np.bool_)
    masks: Masks = {}
    start = 0
    for layer in layers:
        stop = start + math.prod(layer["shape"])
        mask = bits[start:stop].reshape(tuple(layer["shape"]))
        if int(mask.sum()) != layer["kept"]:
            raise ValueError(f"{layer['name']} keeps {int(mask.sum())} weights, the manifest says {layer['kept']}")
        masks[str(layer["name"])] = mask
        start = stop
    return masks


def as_safetensors(masks: Masks, mask_sha256: str) -> bytes:
    """Return one U8 tensor of zeros and ones per prunable parameter, with one metadata key."""
    tensors = {name: np.ascontiguousarray(mask, dtype=np.uint8) for name, mask in masks.items()}
    return bytes(save(tensors, metadata={"mask_sha256": mask_sha256}))


def as_npz(masks: Masks) -> bytes:
    """Return boolean arrays as an uncompressed npz archive without pickles and with fixed timestamps."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name, mask in masks.items():
            array = io.BytesIO()
            np.lib.format.write_array(array, np.ascontiguousarray(mask), allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), array.getvalue())
    return archive.getvalue()
