"""Masks as stored: which weights are kept, packed to headerless bits and back.

The bits are in little bit order and C order, the prunable tensors in state_dict order, each starting at the
next bit, zero bits at the end. True means kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lth_core.architecture import TensorSpec, prunable

Mask = dict[str, npt.NDArray[np.bool_]]


def full_mask(tensors: Sequence[TensorSpec]) -> Mask:
    """Return the mask of ones over the prunable tensors: the dense network."""
    return {tensor.name: np.ones(tensor.shape, dtype=np.bool_) for tensor in prunable(tuple(tensors))}


def check_mask(mask: Mapping[str, npt.NDArray[np.bool_]], tensors: Sequence[TensorSpec]) -> Mask:
    """Return the mask in state_dict order after checking names, shapes and types.

    Raises:
        ValueError: Naming the tensor that is missing, unknown, or of another shape or type.
    """
    ordered = prunable(tuple(tensors))
    expected = {tensor.name for tensor in ordered}
    if set(mask) != expected:
        raise ValueError(f"a mask covers exactly {sorted(expected)}, got {sorted(mask)}")
    for tensor in ordered:
        array = mask[tensor.name]
        if array.dtype != np.bool_ or array.shape != tensor.shape:
            raise ValueError(
                f"mask of {tensor.name} must be bool of shape {tensor.shape}, got {array.dtype} {array.shape}"
            )
    return {tensor.name: mask[tensor.name] for tensor in ordered}


def kept_per_layer(mask: Mapping[str, npt.NDArray[np.bool_]]) -> dict[str, int]:
    """Return how many weights each tensor keeps."""
    return {name: int(np.count_nonzero(array)) for name, array in mask.items()}


def is_collapsed(mask: Mapping[str, npt.NDArray[np.bool_]]) -> bool:
    """Tell whether some prunable tensor keeps nothing at all."""
    return any(not array.any() for array in mask.values())


def packed_size_bytes(tensors: Sequence[TensorSpec]) -> int:
    """Return the length of a packed mask."""
    return -(-sum(tensor.size for tensor in prunable(tuple(tensors))) // 8)


def pack_mask(mask: Mapping[str, npt.NDArray[np.bool_]], tensors: Sequence[TensorSpec]) -> bytes:
    """Pack a mask to the bits that are stored and digested.

    Args:
        mask: One boolean array per prunable tensor, in any order.
        tensors: The network's tensors in state_dict order.

    Raises:
        ValueError: If names, shapes or types do not fit.
    """
    ordered = check_mask(mask, tensors)
    bits = np.concatenate([np.ascontiguousarray(array).reshape(-1) for array in ordered.values()])
    return np.packbits(bits, bitorder="little").tobytes()


def unpack_mask(data: bytes, tensors: Sequence[TensorSpec], kept: Mapping[str, int] | None = None) -> Mask:
    """Unpack stored bits after checking their length, their end and, where given, the counts of kept weights.

    Args:
        data: Packed bits.
        tensors: The network's tensors in state_dict order.
        kept: Kept weights per tensor as the manifest states them.

    Raises:
        ValueError: If the length, a bit behind the end, or a count is wrong.
    """
    ordered = prunable(tuple(tensors))
    total = sum(tensor.size for tensor in ordered)
    if len(data) != packed_size_bytes(tensors):
        raise ValueError(f"a mask of {total} bits has {packed_size_bytes(tensors)} bytes, got {len(data)}")
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little").astype(np.bool_)
    if bits[total:].any():
        raise ValueError("the bits behind the end of a mask must be zero")
    mask: Mask = {}
    start = 0
    for tensor in ordered:
        mask[tensor.name] = bits[start : start + tensor.size].reshape(tensor.shape)
        start += tensor.size
    if kept is not None and dict(kept) != kept_per_layer(mask):
        raise ValueError(f"the mask keeps {kept_per_layer(mask)}, the manifest says {dict(kept)}")
    return mask
