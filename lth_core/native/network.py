"""A fully connected network under masks, trained and judged by the native kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ctypes import byref, c_int64
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from lth_core.native.checks import check_array, check_network, check_range
from lth_core.native.compiled import load
from lth_core.native.layers import Bools, DenseLayout, Floats, LayerState, SparseLayout, is_dense, live_rows
from lth_core.native.structs import KINDS, Array, LayerStruct, NetworkStruct, address, aligned, round_up, rows48, zeros
from lth_core.native.tiles import EvalTiles

MAX_WIDTH = 64
_PENDING = 256
"""Gradients that wait for one update of all, as in `source/sparse.c`."""


@dataclass(frozen=True)
class NativeOptimizer:
    """SGD, with momentum where it is not 0, or Adam; decay is coupled (added to the gradient) or decoupled."""

    kind: Literal["sgd", "adam"]
    momentum: float = 0.0
    weight_decay: float = 0.0
    decoupled: bool = False

    @property
    def state_names(self) -> tuple[str, ...]:
        """Arrays it remembers, by the names of `lth_core.optimizers`."""
        if self.kind == "adam":
            return ("mean", "square")
        return ("momentum",) if self.momentum else ()


@dataclass(frozen=True)
class Snapshot:
    """A copy of all weights and biases in native order, good for the network that made it."""

    arrays: tuple[Floats, ...]


class NativeNetwork:
    """Layers joined by relu, softmax cross-entropy at the end, and the optimizer; pruned weights are 0 at all times.

    A layer of density above `DENSE_ABOVE` is computed in dense tiles, any other by its survivors alone. Same masks,
    weights and batches give the same bits, however the steps are cut into calls. Calls release the interpreter lock;
    one network must not be used by two threads at once.

    Args:
        sizes: Features of the input and of every layer's output.
        masks: Kept weights of every layer, bool [out, in]; None keeps all.
        batch_size: Examples of one step.
        optimizer: How weights are updated; its state begins at zero.
        label_smoothing: Share of the target spread over all classes, in [0, 1).

    Raises:
        ValueError: If an argument is out of its bounds.
        NativeUnavailableError: If the kernels cannot be used here.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        masks: Sequence[Bools | None],
        batch_size: int,
        optimizer: NativeOptimizer,
        label_smoothing: float = 0.0,
    ) -> None:
        check_network(sizes, masks, batch_size, label_smoothing)
        self._library = load()
        self.sizes, self.batch_size, self.optimizer, self.label_smoothing = (
            tuple(sizes),
            batch_size,
            optimizer,
            label_smoothing,
        )
        shapes = [(num_out, num_in) for num_in, num_out in pairwise(sizes)]
        self._masks = [
            np.ones(shape, dtype=np.bool_) if mask is None else mask.copy()
            for shape, mask in zip(shapes, masks, strict=True)
        ]
        self.num_parameters = sum(num_out * num_in + num_out for num_out, num_in in shapes)
        # What the layers do not hold: weights of units that nobody reads stay as they were loaded.
        self._flat = [np.zeros(self.num_parameters, dtype=np.float32) for _ in range(1 + len(optimizer.state_names))]
        self._lay_out(skip_unread=optimizer.weight_decay == 0)

    @property
    def layouts(self) -> tuple[str, ...]:
        """How every layer is computed, "dense" or "sparse": part of what the bits depend on."""
        return tuple("dense" if isinstance(layer.layout, DenseLayout) else "sparse" for layer in self._layers)

    def load(self, vector: Floats) -> None:
        """Copy all parameters in, float32 in state_dict order; pruned entries become 0.

        Raises:
            ValueError: If the vector has another type or size.
        """
        check_array("vector", vector, np.float32, (self.num_parameters,))
        self._flat[0][:] = vector
        self._pack(0)

    def read(self) -> Floats:
        """Return all parameters, float32 in state_dict order; pruned entries are 0."""
        return self._unpack(0)

    def load_state(self, state: Mapping[str, Floats]) -> None:
        """Copy in what the optimizer remembers, per name float32 in state_dict order; pruned entries become 0.

        Raises:
            ValueError: If a name is missing or unknown, or an array has another type or size.
        """
        names = self.optimizer.state_names
        if set(state) != set(names):
            raise ValueError(f"the optimizer's state must have the arrays {sorted(names)}, got {sorted(state)}")
        for name in names:
            check_array(name, state[name], np.float32, (self.num_parameters,))
        self._flat[0] = self._unpack(0)
        for i, name in enumerate(names, start=1):
            self._flat[i][:] = state[name]
            self._pack(i)
        # Moments move weights even where the gradient is zero, so those cannot be skipped.
        if self._skips_unread and any(self._has_unread(i) for i in range(1, 1 + len(names))):
            self._lay_out(skip_unread=False)

    def read_state(self) -> dict[str, Floats]:
        """Return what the optimizer remembers, per name float32 in state_dict order."""
        return {name: self._unpack(i) for i, name in enumerate(self.optimizer.state_names, start=1)}

    def snapshot(self) -> Snapshot:
        """Return a copy of the weights and biases; the optimizer's state is no part of it."""
        return Snapshot(tuple(array.copy() for array in self._weights()))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a copy.

        Raises:
            ValueError: If another network made it.
        """
        arrays = list(self._weights())
        if [array.size for array in arrays] != [array.size for array in snapshot.arrays]:
            raise ValueError("snapshot must be of this network, got one of other sizes")
        for array, kept in zip(arrays, snapshot.arrays, strict=True):
            array[:] = kept

    def train(
        self,
        images: Floats,
        labels: npt.NDArray[np.int32],
        order: npt.NDArray[np.int32],
        lr: npt.NDArray[np.float64],
        count: int,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
        """Do one update per row of `order`.

        Args:
            images: Examples, float32 [num, features].
            labels: Classes, int32 [num].
            order: Examples of every step, int32 [steps, batch_size].
            lr: Learning rate of every step, float64 [steps].
            count: Updates the optimizer has done before.

        Returns:
            Mean of the loss that is minimised, and the number of correct answers before the update, of every step.
            Losses that are not finite come out as such.

        Raises:
            ValueError: If an array has another type or shape, or an index or label is out of bounds.
        """
        check_array("images", images, np.float32, (None, self.sizes[0]))
        check_array("labels", labels, np.int32, (len(images),))
        check_array("order", order, np.int32, (None, self.batch_size))
        check_array("lr", lr, np.float64, (len(order),))
        check_range("order", order, len(images))
        check_range("labels", labels, self.sizes[-1])
        if not 0 <= count < 2**62:
            raise ValueError(f"count must be >= 0 and < 2**62, got {count}")
        losses, correct = np.empty(len(order)), np.empty(len(order), dtype=np.int32)
        self._library.lth_train(
            byref(self._struct), address(images), address(labels), address(order), address(lr),
            len(order), count, address(losses), address(correct),
        )  # fmt: skip
        return losses, correct

    def evaluate(self, tiles: EvalTiles) -> tuple[float, int]:
        """Return the plain cross-entropy summed over all examples in double, and how many are classified correctly.

        Raises:
            ValueError: If the examples have another number of features or labels the network has no output for.
        """
        if tiles.features != self.sizes[0]:
            raise ValueError(f"tiles must have {self.sizes[0]} features, got {tiles.features}")
        if tiles.largest_label >= self.sizes[-1]:
            raise ValueError(f"labels must be < {self.sizes[-1]}, got {tiles.largest_label}")
        correct = c_int64()
        total = self._library.lth_evaluate(
            byref(self._struct), address(tiles.tiles), address(tiles.labels), tiles.num, byref(correct)
        )
        return float(total), correct.value

    def _weights(self) -> Iterator[Floats]:
        for layer in self._layers:
            yield layer.weights[0]
            yield layer.biases[0]

    def _views(self, flat: Floats) -> Iterator[tuple[Floats, Floats]]:
        """Yield every layer's weight [out, in] and bias [out] as views of a flat vector."""
        start = 0
        for num_in, num_out in pairwise(self.sizes):
            end = start + num_out * num_in
            yield flat[start:end].reshape(num_out, num_in), flat[end : end + num_out]
            start = end + num_out

    def _pack(self, i: int) -> None:
        """Mask the flat vector number i (weights, moments) and copy it into native order."""
        for layer, mask, (weight, bias) in zip(self._layers, self._masks, self._views(self._flat[i]), strict=True):
            weight[~mask] = 0
            layer.layout.pack(weight, layer.weights[i])
            layer.biases[i][: layer.num_out] = bias

    def _unpack(self, i: int) -> Floats:
        """Return the flat vector number i with the current values."""
        flat = self._flat[i].copy()
        for layer, (weight, bias) in zip(self._layers, self._views(flat), strict=True):
            layer.layout.unpack(layer.weights[i], weight)
            bias[:] = layer.biases[i][: layer.num_out]
        return flat

    def _has_unread(self, i: int) -> bool:
        """Whether the flat vector number i is not zero where rows are skipped."""
        views = self._views(self._flat[i])
        return any(
            np.delete(weight, rows, axis=0).any() or np.delete(bias, rows).any()
            for (weight, bias), rows in zip(views, self._rows, strict=True)
        )

    def _lay_out(self, *, skip_unread: bool) -> None:
        """Make layers, buffers and structs, and pack the flat vectors into them."""
        self._skips_unread = skip_unread
        self._rows = live_rows(self._masks) if skip_unread else [np.arange(num) for num in self.sizes[1:]]
        padded = round_up(self.batch_size, 16)
        num_chunks = -(-padded // MAX_WIDTH)
        width = round_up(-(-padded // num_chunks), 16)
        columns = num_chunks * width
        self._layers = [
            LayerState(
                mask,
                DenseLayout(mask) if is_dense(mask) else SparseLayout(mask, rows),
                columns,
                len(self._flat) - 1,
            )
            for mask, rows in zip(self._masks, self._rows, strict=True)
        ]
        self._layer_structs = (LayerStruct * len(self._layers))()
        for layer, struct in zip(self._layers, self._layer_structs, strict=True):
            layer.describe(struct)
        self._x = zeros(columns * rows48(self.sizes[0]))
        self._blank = zeros(self.sizes[0])
        self._batch_labels, self._losses = zeros(columns, np.int32), zeros(columns)
        self._gradient = zeros(_PENDING + max(self.sizes) + 64)
        self._groups, self._live = self._read_inputs()
        self._struct = NetworkStruct(
            num_layers=len(self._layers),
            batch=self.batch_size,
            width=width,
            num_chunks=num_chunks,
            kind=KINDS["momentum" if self.optimizer.kind == "sgd" and self.optimizer.momentum else self.optimizer.kind],
            decoupled=int(self.optimizer.decoupled),
            momentum=self.optimizer.momentum,
            weight_decay=self.optimizer.weight_decay,
            smoothing=self.label_smoothing,
            layers=self._layer_structs,
            x=address(self._x),
            groups=address(self._groups),
            live=address(self._live),
            num_groups=len(self._groups),
            zeros=address(self._blank),
            labels=address(self._batch_labels),
            losses=address(self._losses),
            gradient=address(self._gradient),
        )
        for i in range(len(self._flat)):
            self._pack(i)

    def _read_inputs(self) -> tuple[Array, Array]:
        """Return the groups of eight inputs that are read, and which of the eight as bits."""
        dense = isinstance(self._layers[0].layout, DenseLayout)
        read = np.ones(self.sizes[0], dtype=np.bool_) if dense else self._masks[0][self._rows[0]].any(axis=0)
        bits = np.packbits(read, bitorder="little")
        groups = np.flatnonzero(bits)
        return aligned(groups, np.int32), aligned(bits[groups], np.uint8)
