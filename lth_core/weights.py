"""Weights as stored: content digests, deterministic safetensors bytes, and checks before anything is trusted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as _load
from safetensors.numpy import save as _save

from lth_core.architecture import TensorSpec
from lth_core.canonical import canonical_json

Array = npt.NDArray[np.generic]
Weights = dict[str, npt.NDArray[np.float32]]


def content_digest(arrays: Mapping[str, Array]) -> str:
    """Return the SHA-256 of the arrays' content, whatever file they came from.

    Hashed are, in sorted order of names, each with its length as 8 little-endian bytes before it: the name, the
    type, the shape as JSON, and the raw little-endian bytes in C order.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        shape = canonical_json(list(arrays[name].shape))
        raw = array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8)
        for field in (name.encode(), array.dtype.name.encode(), shape, raw.data):
            digest.update(len(field).to_bytes(8, "little"))
            digest.update(field)
    return digest.hexdigest()


def to_safetensors(arrays: Mapping[str, Array]) -> bytes:
    """Encode arrays as safetensors without metadata: equal arrays give equal bytes."""
    ordered = {name: np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape) for name in sorted(arrays)}
    return bytes(_save(ordered))


def from_safetensors(data: bytes) -> dict[str, Array]:
    """Decode safetensors bytes.

    Raises:
        ValueError: If the bytes are no safetensors.
    """
    try:
        return dict(_load(data))
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"not safetensors: {error}") from error


def check_weights(arrays: Mapping[str, Array], tensors: Sequence[TensorSpec]) -> Weights:
    """Return the weights in state_dict order after checking names, shapes and types.

    Raises:
        ValueError: Naming the tensor that is missing, unknown, or of another shape or type.
    """
    expected = {tensor.name for tensor in tensors}
    if set(arrays) != expected:
        raise ValueError(f"the network has exactly {sorted(expected)}, got {sorted(arrays)}")
    checked: Weights = {}
    for tensor in tensors:
        array = arrays[tensor.name]
        if array.dtype != np.float32 or array.shape != tensor.shape:
            raise ValueError(f"{tensor.name} must be float32 of shape {tensor.shape}, got {array.dtype} {array.shape}")
        checked[tensor.name] = array.astype(np.float32, copy=False)
    return checked


def weights_from_safetensors(data: bytes, tensors: Sequence[TensorSpec]) -> Weights:
    """Decode the weights of one network.

    Raises:
        ValueError: If the bytes are no safetensors, or do not fit the network.
    """
    return check_weights(from_safetensors(data), tensors)
