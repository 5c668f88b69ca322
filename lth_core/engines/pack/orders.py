"""Which examples every slot sees at which step: functions of its replicate and purpose, never of the slot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from lth_core import random
from lth_core.data import Split, epoch_batches, split
from lth_core.engines.pack.philox import permutations


@dataclass(frozen=True)
class OrderRequest:
    """The batches of one training from step `first` on, `num_steps` of them."""

    replicate: int
    purpose: str
    first: int
    num_steps: int


_Epoch = tuple[int, str, int]


class OrderBook:
    """Epochs of example indices, kept for as long as some slot reads them: slots of one replicate share theirs.

    On a CPU they come from `lth_core.data.epoch_batches`, on a GPU from the same integers computed there.

    Args:
        num_train: Training examples of the data set.
        batch_size: Examples of a step.
        device: Where the orders are wanted.
    """

    def __init__(self, num_train: int, batch_size: int, device: torch.device) -> None:
        self._num_train, self._batch_size, self._device = num_train, batch_size, device
        self._epochs: dict[_Epoch, Tensor] = {}

    def parts(self, replicate: int) -> Split:
        """Return the split of a replicate into fitted and validation examples."""
        return _split(self._num_train, replicate)

    def prepare(self, requests: Iterable[OrderRequest]) -> None:
        """Compute the epochs that requests will read, and forget all others."""
        wanted = {epoch for request in requests if request.num_steps for epoch in self._epochs_of(request)}
        self._epochs = {epoch: order for epoch, order in self._epochs.items() if epoch in wanted}
        missing = sorted(wanted - set(self._epochs))
        if missing:
            self._epochs.update(zip(missing, self._compute(missing), strict=True))

    def batches(self, request: OrderRequest) -> Tensor:
        """Return the example indices of a request that was prepared, int32 [num_steps, batch_size]."""
        per_epoch = self._per_epoch(request.replicate)
        joined = torch.cat([self._epochs[epoch] for epoch in self._epochs_of(request)])
        start = request.first % per_epoch
        return joined[start : start + request.num_steps]

    def _per_epoch(self, replicate: int) -> int:
        return len(self.parts(replicate).fit) // self._batch_size

    def _epochs_of(self, request: OrderRequest) -> list[_Epoch]:
        per_epoch = self._per_epoch(request.replicate)
        last = request.first + request.num_steps - 1
        epochs = range(request.first // per_epoch, last // per_epoch + 1)
        return [(request.replicate, request.purpose, epoch) for epoch in epochs]

    def _compute(self, missing: list[_Epoch]) -> list[Tensor]:
        size = self._batch_size
        if self._device.type == "cpu":
            orders = [epoch_batches(self.parts(rep), rep, epoch, size, purpose) for rep, purpose, epoch in missing]
            return [torch.from_numpy(order).to(torch.int32) for order in orders]
        return self.compute_in_tensors(missing)

    def compute_in_tensors(self, missing: list[_Epoch]) -> list[Tensor]:
        """Return epochs' batches computed on the device, int32 [num_batches, batch_size] each."""
        num_fit = len(self.parts(missing[0][0]).fit)
        num = num_fit // self._batch_size * self._batch_size
        keys = [random.seed_key(replicate, purpose) for replicate, purpose, _ in missing]
        orders = permutations(keys, [epoch for _, _, epoch in missing], num_fit, self._device)[:, :num]
        found = []
        for (replicate, _, _), order in zip(missing, orders, strict=True):
            fit = torch.from_numpy(self.parts(replicate).fit).to(self._device)
            found.append(fit[order].to(torch.int32).view(-1, self._batch_size))
        return found


@lru_cache(maxsize=512)
def _split(num_train: int, replicate: int) -> Split:
    return split(num_train, replicate)
