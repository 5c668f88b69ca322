"""Dropout whose masks are counters: the same units fall out at the same step, in every run and on every device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lth_core import random

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF
_ROUNDS = 10


class CounterDropout(nn.Module):
    """Inverted dropout: while training, each element is 0 with probability `p` and otherwise divided by 1 - p.

    Element e of the input in C order (batch included) is kept if word e mod 4 of the Philox4x32-10 counter
    (e div 4, step, layer, 0) is at least p * 2**32: a function of (seed, step, layer, element) alone, so that resuming
    needs no state, and that network, ticket and control see the same mask. It holds nothing that a `state_dict` shows.
    In eval mode, and for p = 0, it is the identity.

    Attributes:
        step: Number of the update, in [0, 2**32); whoever trains sets it before each one.

    Args:
        p: Share of the elements that fall out, in [0, 1).
        key: 64-bit seed, of purpose "dropout".
        layer: Number of the layer within the network, in [0, 2**32).

    Raises:
        ValueError: If `p` or `layer` is out of bounds.

    References:
        Srivastava et al. 2014, JMLR 15, section 10 (scaling while training instead of when testing);
        Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """

    def __init__(self, p: float, key: int, layer: int) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p must be >= 0 and < 1, got {p}")
        if not 0 <= layer < 2**32:
            raise ValueError(f"layer must be >= 0 and < 2**32, got {layer}")
        self.p = p
        self.key = key
        self.layer = layer
        self.step = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the input with some of its elements dropped."""
        if not self.training or self.p == 0:
            return x
        kept = self._kept(x.numel(), x.device).view(x.shape)
        return x * kept.to(x.dtype).mul_(1 / (1 - self.p))

    def _kept(self, num: int, device: torch.device) -> Tensor:
        """Return which of the first `num` elements stay: bool [num]."""
        num_counters, least = -(-num // 4), round(self.p * 2**32)
        if device.type == "cpu":
            drawn = random.words(self.key, num_counters, step=self.step, tensor=self.layer)
            return torch.from_numpy(drawn >= least).view(-1)[:num]
        return (words(self.key, num_counters, self.step, self.layer, device) >= least).view(-1)[:num]


def words(key: int, num: int, step: int, layer: int, device: torch.device) -> Tensor:
    """Return the four words of Philox4x32-10 at counters (0..num-1, step, layer, 0): int64 [num, 4].

    The same integers as `lth_core.random.words`, which is twice as fast on a CPU, computed on any device. A product
    of two 32-bit words wraps around in int64, but its 64 bits are the right ones: shifts and masks take both halves.
    """
    x0 = torch.arange(num, device=device)
    x1, x2, x3 = torch.full_like(x0, step), torch.full_like(x0, layer), torch.zeros_like(x0)
    k0, k1 = key & _LOW, key >> 32 & _LOW
    for _ in range(_ROUNDS):
        product0, product1 = x0 * _MULTIPLIERS[0], x2 * _MULTIPLIERS[1]
        x0, x1 = (product1 >> 32).bitwise_and_(_LOW).bitwise_xor_(x1).bitwise_xor_(k0), product1.bitwise_and_(_LOW)
        x2, x3 = (product0 >> 32).bitwise_and_(_LOW).bitwise_xor_(x3).bitwise_xor_(k1), product0.bitwise_and_(_LOW)
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return torch.stack([x0, x1, x2, x3], dim=1)
