"""Checks of everything that reaches the kernels: C reads what it is told to, so nothing wrong may be told."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lth_core.native.structs import Array


def check_array(name: str, array: Array, dtype: npt.DTypeLike, shape: tuple[int | None, ...]) -> None:
    """Check an array's type, shape (None: any) and contiguity.

    Raises:
        ValueError: If one of them does not fit.
    """
    fits = array.ndim == len(shape) and all(w is None or w == n for w, n in zip(shape, array.shape, strict=False))
    if array.dtype != np.dtype(dtype) or not fits or not array.flags.c_contiguous:
        wanted = f"{np.dtype(dtype)} of shape {shape}, C-contiguous".replace("None", "any")
        raise ValueError(f"{name} must be {wanted}, got {array.dtype} {array.shape}, strides {array.strides}")


def check_range(name: str, array: Array, below: int) -> None:
    """Check that integers are in [0, below).

    Raises:
        ValueError: If one is not, naming it.
    """
    if array.size and not (int(array.min()) >= 0 and int(array.max()) < below):
        wrong = int(array.min()) if int(array.min()) < 0 else int(array.max())
        raise ValueError(f"{name} must be >= 0 and < {below}, got {wrong}")


def check_network(sizes: Sequence[int], masks: Sequence[Array | None], batch_size: int, smoothing: float) -> None:
    """Check what a network is made of.

    Raises:
        ValueError: If sizes, masks, batch size or label smoothing are out of their bounds.
    """
    if len(sizes) < 2 or min(sizes) < 1 or max(sizes) >= 2**24:
        raise ValueError(f"sizes must be >= 2 numbers >= 1 and < 2**24, got {list(sizes)}")
    if any(num_in * num_out >= 2**31 for num_in, num_out in pairwise(sizes)):
        raise ValueError(f"sizes must give layers of < 2**31 weights, got {list(sizes)}")
    if len(masks) != len(sizes) - 1:
        raise ValueError(f"masks must be {len(sizes) - 1}, one per layer, got {len(masks)}")
    for i, mask in enumerate(masks):
        if mask is not None:
            check_array(f"masks[{i}]", np.ascontiguousarray(mask), np.bool_, (sizes[i + 1], sizes[i]))
    if not 1 <= batch_size < 2**20:
        raise ValueError(f"batch_size must be >= 1 and < 2**20, got {batch_size}")
    if not 0 <= smoothing < 1:
        raise ValueError(f"label_smoothing must be >= 0 and < 1, got {smoothing}")
