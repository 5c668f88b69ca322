"""The layout of one layer's weights: dense tiles, or the survivors alone, with the way there and back."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from lth_core.native.structs import Array, LayerStruct, address, aligned, round_up, rows48, zeros

DENSE_ABOVE = 0.7
"""Density above which a layer is computed by dense tiles; the choice depends on the density of the layer alone."""

TILE_ROWS, TILE_COLS = 6, 16
BLOCK_SIZE = 96
"""Inputs of 64 columns that stay in a first-level cache of 32 KB while all rows pass over them."""

MIN_PER_SEGMENT = 8
"""Survivors of a row in a block below which blocks cost more than they save."""

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


class Layout(Protocol):
    """Where the weights of a layer lie."""

    size: int

    def pack(self, matrix: Floats, into: Floats) -> None:
        """Write a matrix [out, in] into native order."""

    def unpack(self, packed: Floats, into: Floats) -> None:
        """Write weights in native order into a matrix [out, in], those that are there."""

    def describe(self, struct: LayerStruct) -> None:
        """Fill in what the kernels need to know; the arrays stay this object's."""


class DenseLayout:
    """Tiles of 6 outputs x 16 inputs, [out / 6, in / 16, 6, 16], padded by zeros; pruned weights are held at zero.

    Args:
        mask: Kept weights, [out, in].
    """

    def __init__(self, mask: Bools) -> None:
        self._shape = mask.shape
        self._bands, self._panels = -(-mask.shape[0] // TILE_ROWS), -(-mask.shape[1] // TILE_COLS)
        self.size = self._bands * self._panels * TILE_ROWS * TILE_COLS
        self._keep = None if mask.all() else aligned(self._tiles(-mask.astype(np.int32)), np.int32)

    def _tiles(self, matrix: Array) -> Array:
        num_out, num_in = self._shape
        padded = np.zeros((self._bands * TILE_ROWS, self._panels * TILE_COLS), dtype=matrix.dtype)
        padded[:num_out, :num_in] = matrix
        return padded.reshape(self._bands, TILE_ROWS, self._panels, TILE_COLS).transpose(0, 2, 1, 3)

    def pack(self, matrix: Floats, into: Floats) -> None:
        """Write a matrix [out, in] into tiles."""
        into[:] = self._tiles(matrix).reshape(-1)

    def unpack(self, packed: Floats, into: Floats) -> None:
        """Write tiles into a matrix [out, in]."""
        num_out, num_in = self._shape
        tiles = packed.reshape(self._bands, self._panels, TILE_ROWS, TILE_COLS).transpose(0, 2, 1, 3)
        into[:] = tiles.reshape(self._bands * TILE_ROWS, self._panels * TILE_COLS)[:num_out, :num_in]

    def describe(self, struct: LayerStruct) -> None:
        """Fill in the struct of a dense layer."""
        struct.dense = 1
        struct.keep = address(self._keep)


class SparseLayout:
    """The survivors of the rows that are computed, by (block of inputs, row, input), padded by zeros to eights.

    Args:
        mask: Kept weights, [out, in].
        rows: Outputs that are computed, ascending; the weights of the others stay as they are.
    """

    def __init__(self, mask: Bools, rows: npt.NDArray[np.int64]) -> None:
        num_in = mask.shape[1]
        kept = mask[rows]
        row, col = np.nonzero(kept)
        blocked = len(row) >= MIN_PER_SEGMENT * max(len(rows), 1) * -(-num_in // BLOCK_SIZE)
        self._block_size = BLOCK_SIZE if blocked else min(num_in, 1 << 16)
        self._num_blocks = -(-num_in // self._block_size)
        block = col // self._block_size
        order = np.lexsort((col, row, block))
        row, col, block = row[order], col[order], block[order]
        self._nnz = len(row)
        self.size = round_up(self._nnz, 8)
        self._where = rows[row] * num_in + col
        self._rows = aligned(rows, np.int32)
        self._ptr = aligned(_starts(block * len(rows) + row, self._num_blocks * len(rows)), np.int32)
        self._col = aligned(col - block * self._block_size, np.uint16)
        by_unit = np.lexsort((row, col))
        units, counts = np.unique(col, return_counts=True)
        self._units = aligned(units, np.int32)
        self._unit_ptr = aligned(np.concatenate([[0], np.cumsum(counts)]), np.int32)
        self._unit_row = aligned(rows[row[by_unit]], np.int32)
        self._unit_pos = aligned(by_unit, np.int32)

    def pack(self, matrix: Floats, into: Floats) -> None:
        """Write the survivors of a matrix [out, in] in native order."""
        into[: self._nnz] = matrix.reshape(-1)[self._where]

    def unpack(self, packed: Floats, into: Floats) -> None:
        """Write the survivors into a matrix [out, in], and touch nothing else."""
        into.reshape(-1)[self._where] = packed[: self._nnz]

    def describe(self, struct: LayerStruct) -> None:
        """Fill in the struct of a sparse layer."""
        struct.dense = 0
        struct.num_rows, struct.num_units, struct.nnz = len(self._rows), len(self._units), self._nnz
        struct.num_blocks, struct.block_size = self._num_blocks, self._block_size
        for name in ("rows", "ptr", "col", "units", "unit_ptr", "unit_row", "unit_pos"):
            setattr(struct, name, address(getattr(self, f"_{name}")))


class LayerState:
    """Weights, biases and moments of one layer in native order, with the layer's activation buffers.

    Args:
        mask: Kept weights, [out, in].
        layout: Where they lie.
        columns: Columns of a padded batch.
        num_moments: Arrays the optimizer keeps per weight.
    """

    def __init__(self, mask: Bools, layout: Layout, columns: int, num_moments: int) -> None:
        num_out, num_in = mask.shape
        self.layout = layout
        self.weights = [zeros(layout.size) for _ in range(1 + num_moments)]
        self.biases = [zeros(rows48(num_out)) for _ in range(1 + num_moments)]
        self._y, self._d = (zeros(columns * rows48(num_out)) for _ in range(2))
        self._y_eval = zeros(64 * rows48(num_out))
        self._xt = zeros(columns * round_up(num_in, TILE_COLS)) if isinstance(layout, DenseLayout) else None
        self.num_out, self.num_in = num_out, num_in

    def describe(self, struct: LayerStruct) -> None:
        """Fill in the struct of the layer."""
        setattr(struct, "in", self.num_in)
        struct.out = self.num_out
        for names, arrays in ((("w", "m", "v"), self.weights), (("bias", "bias_m", "bias_v"), self.biases)):
            for i, name in enumerate(names):
                setattr(struct, name, address(arrays[min(i, len(arrays) - 1)]))
        struct.y, struct.d, struct.y_eval = address(self._y), address(self._d), address(self._y_eval)
        struct.xt = address(self._xt)
        self.layout.describe(struct)


def _starts(sorted_ids: npt.NDArray[np.int64], num: int) -> npt.NDArray[np.int64]:
    """Return where each of `num` ids begins in a sorted array, and its end."""
    return np.searchsorted(sorted_ids, np.arange(num + 1))


def is_dense(mask: Bools) -> bool:
    """Whether a layer is computed by dense tiles."""
    return bool(mask.mean() > DENSE_ABOVE)


def live_rows(masks: list[Bools]) -> list[npt.NDArray[np.int64]]:
    """Return the outputs of each layer that can reach the network's output; the last layer's all do.

    A unit without outgoing weights gets the gradient zero, exactly; so does what only feeds such units.
    """
    live = [np.arange(masks[-1].shape[0])]
    for mask in reversed(masks[1:]):
        live.append(np.flatnonzero(mask[live[-1]].any(axis=0)))
    return live[::-1]
