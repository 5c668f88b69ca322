"""Masks out of downloaded bytes: unpacked by numpy, every digest and count checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from service.wire.problems import DigestMismatch

Mask = dict[str, npt.NDArray[np.bool_]]


def check_digest(data: bytes, expected: str, what: str) -> None:
    """Compare the SHA-256 of `data`.

    Raises:
        DigestMismatch: If it is another one.
    """
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected.removeprefix("sha256:"):
        raise DigestMismatch(f"{what}: expected sha256 {expected}, got {digest} ({len(data)} bytes)")


def manifest_core(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a ticket's manifest that says what was computed."""
    core = manifest.get("core", manifest)
    assert isinstance(core, Mapping)
    return core


def unpack(data: bytes, manifest: Mapping[str, Any]) -> Mask:
    """Masks by parameter name, True = kept, from headerless bits in little bit order.

    Args:
        data: The packed mask: C order, tensors joined in the manifest's order without padding.
        manifest: The ticket's manifest with digest, shapes and counts.

    Raises:
        DigestMismatch: If the bytes, their length or any count differ from the manifest.
    """
    core = manifest_core(manifest)
    check_digest(data, str(core["digests"]["mask"]), "mask")
    shapes = [tuple(layer["shape"]) for layer in core["layers"]]
    sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]
    if len(data) != -(-sum(sizes) // 8):
        raise DigestMismatch(f"mask: {len(data)} bytes for {sum(sizes)} weights")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=sum(sizes), bitorder="little").astype(np.bool_)
    masks: Mask = {}
    begin = 0
    for layer, shape, size in zip(core["layers"], shapes, sizes, strict=True):
        mask = bits[begin : begin + size].reshape(shape)
        if int(mask.sum()) != layer["kept"]:
            raise DigestMismatch(f"mask of {layer['name']}: {int(mask.sum())} kept, {layer['kept']} promised")
        masks[layer["name"]] = mask
        begin += size
    return masks
