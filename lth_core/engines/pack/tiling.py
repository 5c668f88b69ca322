"""How the kernels cut their work: functions of the shape alone, part of the numerical identity, tuned by nothing."""

from __future__ import annotations

LARGEST_BLOCK = 64
DEPTH = 32
"""Products that one pass of a kernel sums before the next: more of them would not fit into registers."""
PLACES_PER_SPLIT = 4096
"""Places whose gradients one program sums: 60 maps of 32x32 are 15 splits, enough programs for a GPU from one slot."""

GEMM_OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}
"""How the kernels are compiled; fused multiply-add is said outright because its default changes between versions."""


def block(size: int) -> int:
    """Return the side of a tile along a dimension: a power of two from 16 to 64."""
    return min(LARGEST_BLOCK, max(16, 1 << (size - 1).bit_length()))


def tiles(size: int, block_size: int) -> int:
    """Return how many tiles cover a dimension."""
    return -(-size // block_size)


def num_splits(places: int) -> int:
    """Return how many partial sums the gradient of a convolution has, for so many places (R * height * width)."""
    return tiles(places, PLACES_PER_SPLIT)
