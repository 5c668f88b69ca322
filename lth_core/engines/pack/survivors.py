"""The optimizer's state where weights survive and nowhere else: nothing is stored, read or written for a pruned one.

The parameters of a layer are counted tile by tile, in the tiles that one program updates, and within a tile row by
row; its biases follow. A slot's moments are packed in that order, survivors only, so that what a program reads and
writes lies side by side. A program finds its survivors by the bits of the mask, and where they begin by a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lth_core.engines.pack import plain
from lth_core.engines.pack.layout import Vector
from lth_core.engines.pack.moments import Keep
from lth_core.engines.pack.shape import NUM_MOMENTS, OptimizerKind
from lth_core.engines.pack.stages import Layer
from lth_core.engines.pack.state import PackState
from lth_core.engines.pack.tiling import block, tiles

BITS = 32
"""Weights of one row of a layer that share a word of the mask."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Place:
    """Where a layer lies in the tables of a slot.

    Attributes:
        words: Where its mask begins among a slot's words; a row of it has `words_of_row`.
        words_of_row: Words of the mask of one output's weights.
        blocks: Which of a slot's blocks is its first tile.
        num_tiles: Its tiles; the block behind the last is its biases.
    """

    words: int
    words_of_row: int
    blocks: int
    num_tiles: int


def places_of(layers: Sequence[Layer]) -> tuple[Place, ...]:
    """Return where every layer lies in the tables."""
    found: list[Place] = []
    words = blocks = 0
    for layer in layers:
        num_tiles = tiles(layer.outputs, block(layer.outputs)) * tiles(layer.inputs, block(layer.inputs))
        found.append(Place(words, -(-layer.inputs // BITS), blocks, num_tiles))
        words += layer.outputs * found[-1].words_of_row
        blocks += num_tiles + 1
    return tuple(found)


def tile_order(layers: Sequence[Layer]) -> tuple[Indices, Indices]:
    """Return all parameters in the order of the tiles, by their place in a row, and where every block begins."""
    parts: list[Indices] = []
    for layer in layers:
        side, across = block(layer.outputs), block(layer.inputs)
        weights = layer.weight + np.arange(layer.outputs * layer.inputs).reshape(layer.outputs, layer.inputs)
        for top in range(0, layer.outputs, side):
            for left in range(0, layer.inputs, across):
                parts.append(weights[top : top + side, left : left + across].reshape(-1))
        parts.append(layer.bias + np.arange(layer.outputs))
    return np.concatenate(parts), np.cumsum([0, *(len(part) for part in parts[:-1])])


class SurvivorMoments:
    """Moments at surviving weights, packed by tiles. The interface is `lth_core.engines.pack.moments.Moments`.

    Attributes:
        vectors: What the optimizer remembers, each float32 [G, P]; a slot uses as many as it has survivors.
        words: The masks, bit by bit, int32 [G, words]: bit c % 32 of word c // 32 of a row is its c-th weight.
        begins: How many survivors lie before every block, int32 [G, blocks].
        survivors: Of every slot, by their place in a row, int64 [n].

    Args:
        kind: The optimizer.
        state: The pack's state.
        layers: The network's layers.
    """

    def __init__(self, kind: OptimizerKind, state: PackState, layers: Sequence[Layer]) -> None:
        self._kind, self._state, self._layers = kind, state, tuple(layers)
        self._order, self._blocks = tile_order(layers)
        last = places_of(layers)[-1]
        num_words = last.words + layers[-1].outputs * last.words_of_row
        self.vectors = [torch.zeros_like(state.weights) for _ in range(NUM_MOMENTS[kind])]
        self.words = torch.zeros(state.num_slots, num_words, dtype=torch.int32, device=state.device)
        self.begins = torch.zeros(state.num_slots, len(self._blocks), dtype=torch.int32, device=state.device)
        self.survivors = [torch.zeros(0, dtype=torch.int64)] * state.num_slots

    def load(self, slot: int, keep: Keep, vectors: list[Vector]) -> None:
        """See `Moments.load`."""
        arrangement = self._state.arrangement
        row = arrangement.row_of(keep)
        kept = row[self._order]
        survivors = self._order[kept]
        before = np.concatenate([[0], np.cumsum(kept)])[self._blocks]
        self.survivors[slot] = torch.from_numpy(survivors)
        self.begins[slot].copy_(torch.from_numpy(before.astype(np.int32)))
        self.words[slot].copy_(torch.from_numpy(self._words_of(row)))
        for rows, vector in zip(self.vectors, vectors, strict=True):
            self._state.write(slot, rows, arrangement.row_of(vector)[survivors])

    def read(self, slot: int) -> list[Vector]:
        """See `Moments.read`."""
        survivors = self.survivors[slot].numpy()
        found: list[Vector] = []
        for rows in self.vectors:
            row = np.zeros(self._state.num_parameters, dtype=np.float32)
            row[survivors] = self._state.read(slot, rows, len(survivors))
            found.append(self._state.arrangement.vector_of(row))
        return found

    def update(self, gradient: Tensor, slots: slice) -> None:
        """See `Moments.update`; one slot after the other, on a CPU: the meaning of the kernels' updates."""
        state = self._state
        for number, slot in enumerate(range(state.num_slots)[slots]):
            one, at = slice(slot, slot + 1), self.survivors[slot]
            own = [rows[one, : len(at)] for rows in self.vectors]
            weights, moments = plain.update(
                self._kind,
                state.weights[one, at],
                gradient[number : number + 1, at],
                own,
                state.rates_now(one),
                state.decay[one],
                state.momentum[one],
            )
            state.weights[slot, at] = weights[0]
            for old, new in zip(own, moments, strict=True):
                old.copy_(new)

    def _words_of(self, row: Keep) -> npt.NDArray[np.int32]:
        parts = []
        for layer in self._layers:
            bits = row[layer.weight : layer.bias].reshape(layer.outputs, layer.inputs)
            padded = np.pad(bits, ((0, 0), (0, -layer.inputs % BITS)))
            parts.append(np.packbits(padded, axis=1, bitorder="little").reshape(-1).view("<i4"))
        return np.concatenate(parts).astype(np.int32, copy=False)
