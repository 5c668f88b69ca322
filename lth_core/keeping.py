"""A mask at work on a network in torch: on its weights, its gradients and what its optimizer remembers."""

from __future__ import annotations

import torch
from torch import Tensor

from lth_core.masks import Mask
from lth_core.models import FlatNetwork, KeepBits
from lth_core.optimizers import Optimizer, moments


class Keep:
    """A mask at work: applied to the weights as they begin, then to every gradient and after every update.

    Making one sets pruned entries of the weights to zero (or holds them) and of the optimizer's state to zero.

    Args:
        net: The network.
        optimizer: What updates it.
        mask: What is kept; None keeps all.
        held: Whether pruned weights keep the value they have now.
    """

    def __init__(self, net: FlatNetwork, optimizer: Optimizer, mask: Mask | None, held: bool) -> None:
        self.mask = mask
        self._net, self._optimizer = net, optimizer
        self._bits = None if mask is None else KeepBits(mask, net.tensors, net.vector.device)
        self._held: Tensor | None = None
        if self._bits is None:
            return
        if held:
            kept = net.vector.clone()
            self._bits.apply_(kept)
            self._held = net.vector.view(torch.int32) ^ kept.view(torch.int32)  # the float bits of what is held, else 0
        self.mask_weights()
        self._forget()

    def mask_gradient(self, gradient: Tensor) -> None:
        """Set pruned entries of a gradient to zero."""
        if self._bits is not None:
            self._bits.apply_(gradient)

    def mask_weights(self) -> None:
        """Set pruned entries of the weights to zero or back to what they are held at."""
        if self._bits is None:
            return
        self._bits.apply_(self._net.vector)
        if self._held is not None:
            self._net.vector.view(torch.int32).bitwise_or_(self._held)
            self._forget()  # coupled weight decay would leave moments there

    def tighter(self, mask: Mask) -> Keep:
        """Return the same under a mask that keeps less."""
        return Keep(self._net, self._optimizer, mask, held=False)

    def _forget(self) -> None:
        if self._bits is not None:
            for moment in moments(self._optimizer):
                self._bits.apply_(moment)
