"""Dropout inside a captured step: the masks of many steps are drawn beforehand and looked up by a row counter."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lth_core import random
from lth_core.dropout import CounterDropout
from lth_core.engines.pack.philox import halves, words


class DropTable:
    """The masks of one dropout layer for the next steps, exactly those that the layer would draw itself.

    Args:
        layer: The layer; from now on it reads the table while it trains.
        num: Elements of its input.
        num_steps: Steps that the table holds.
        row: Which of them comes next, int32 [1].
    """

    def __init__(self, layer: CounterDropout, num: int, num_steps: int, row: Tensor) -> None:
        self._layer, self._row = layer, row
        self._least = round(layer.p * 2**32)
        self._table = torch.ones(num_steps, num, dtype=torch.bool, device=row.device)
        layer._kept = self._look_up  # type: ignore[method-assign]

    def fill(self, key: int, first: int, num_steps: int) -> None:
        """Draw the masks of steps `first` to `first + num_steps - 1`."""
        num = self._table.shape[1]
        counters, layer = -(-num // 4), self._layer.layer
        if self._table.device.type == "cpu":
            for i in range(num_steps):
                drawn = random.words(key, counters, step=first + i, tensor=layer)
                self._table[i].copy_(torch.from_numpy(drawn >= self._least).view(-1)[:num])
            return
        steps = torch.arange(first, first + num_steps, device=self._table.device)
        keys = halves([key], self._table.device).expand(num_steps, 2)
        drawn_here = torch.stack(words(keys, counters, steps, layer), dim=2) >= self._least
        self._table[:num_steps].copy_(drawn_here.flatten(1)[:, :num])

    def _look_up(self, num: int, device: torch.device) -> Tensor:
        assert (num, device) == (self._table.shape[1], self._table.device)
        return self._table.index_select(0, self._row)[0]


def drop_tables(network: nn.Module, example: Tensor, num_steps: int, row: Tensor) -> list[DropTable]:
    """Make the tables of a network's dropout layers, by showing it a batch of the size it will train on."""
    layers = [layer for layer in network.modules() if isinstance(layer, CounterDropout) and layer.p]
    sizes: dict[int, int] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda layer, seen: sizes.__setitem__(id(layer), seen[0].numel()))
        for layer in layers
    ]
    if layers:
        with torch.no_grad():
            network(example)
    for hook in hooks:
        hook.remove()
    return [DropTable(layer, sizes[id(layer)], num_steps, row) for layer in layers]
