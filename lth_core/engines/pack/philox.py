"""Philox4x32-10 in tensors: the integers of `lth_core.random` for many seeds at once, on the device that trains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF
_ROUNDS = 10
_SIGN = -(2**63)
_MAX_ROWS = 16
"""Permutations made at a time: each holds about ten int64 arrays of its length."""


def words(keys: Tensor, num: int, steps: Tensor, tensor: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the four words at counters (0..num-1, step, tensor, 0), each int64 [n, num].

    A product of two 32-bit words wraps around in int64, but its 64 bits are the right ones.

    Args:
        keys: Low and high 32 bits of each seed, int64 [n, 2].
        num: Elements.
        steps: Epoch or step of each row, int64 [n].
        tensor: Tensor or layer.
    """
    x0 = torch.arange(num, device=keys.device).expand(len(keys), num)
    x1 = steps[:, None].expand_as(x0)
    x2, x3 = torch.full_like(x0, tensor), torch.zeros_like(x0)
    k0, k1 = keys[:, :1], keys[:, 1:]
    for _ in range(_ROUNDS):
        product0, product1 = x0 * _MULTIPLIERS[0], x2 * _MULTIPLIERS[1]
        x0, x1 = (product1 >> 32 & _LOW) ^ x1 ^ k0, product1 & _LOW
        x2, x3 = (product0 >> 32 & _LOW) ^ x3 ^ k1, product0 & _LOW
        k0, k1 = k0 + _WEYL[0] & _LOW, k1 + _WEYL[1] & _LOW
    return x0, x1, x2, x3


def halves(keys: Sequence[int], device: torch.device) -> Tensor:
    """Return 64-bit seeds as their low and high 32 bits, int64 [n, 2]."""
    return torch.tensor([(key & _LOW, key >> 32) for key in keys], dtype=torch.int64, device=device)


def permutations(keys: Sequence[int], epochs: Sequence[int], num: int, device: torch.device) -> Tensor:
    """Return `lth_core.random.permutation(key, num, step=epoch)` of every pair, int64 [n, num]."""
    found = []
    for start in range(0, len(keys), _MAX_ROWS):
        rows = slice(start, start + _MAX_ROWS)
        steps = torch.tensor(epochs[rows], dtype=torch.int64, device=device)
        first, second, _, _ = words(halves(keys[rows], device), num, steps)
        bits = (first << 32 | second) ^ _SIGN  # signed comparison now orders them as unsigned
        found.append(torch.sort(bits, dim=1, stable=True).indices)
    return torch.cat(found)
