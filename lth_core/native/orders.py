"""The order of an epoch, drawn in C: the integers of `lth_core.random.permutation`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lth_core.native.compiled import load
from lth_core.native.structs import address, round_up

_MAX_BUCKET_BITS = 24


def permutation(key: int, num: int, step: int = 0) -> npt.NDArray[np.int32]:
    """Return a random order of 0..num-1: sorted by (64 random bits, index).

    Args:
        key: 64-bit seed.
        num: Number of elements, in [0, 2**31).
        step: Epoch, in [0, 2**32).

    Raises:
        ValueError: If an argument is out of its bounds.
        NativeUnavailableError: If the kernels cannot be used here.
    """
    for name, value, bits in (("key", key, 64), ("num", num, 31), ("step", step, 32)):
        if not 0 <= value < 2**bits:
            raise ValueError(f"{name} must be >= 0 and < 2**{bits}, got {value}")
    library = load()
    bucket_bits = min(max(num.bit_length(), 1), _MAX_BUCKET_BITS)
    keys = np.empty(round_up(num, 8), dtype=np.uint64)
    heads = np.empty(2**bucket_bits + 1, dtype=np.uint32)
    room = np.empty(2 * num, dtype=np.uint64)
    order = np.empty(num, dtype=np.int32)
    library.lth_permutation(key, step, num, bucket_bits, address(keys), address(heads), address(room), address(order))
    return order
