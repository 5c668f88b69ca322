"""Launches of the kernels for fully connected layers, and of the updates of all layers, on one pack's tensors.

The tiles are functions of the shape alone: they are part of the numerical identity, and nothing is tuned at run time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from lth_core.engines.pack import kernels, update_kernels
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.shape import NUM_MOMENTS, OptimizerKind
from lth_core.engines.pack.source import Source
from lth_core.engines.pack.stages import Layer
from lth_core.engines.pack.state import Clock, PackState
from lth_core.engines.pack.survivors import SurvivorMoments, places_of
from lth_core.engines.pack.tiling import DEPTH, GEMM_OPTIONS, block, tiles
from lth_core.optimizers import ADAM_BETAS, ADAM_EPSILON

MAX_LOSS_BLOCK = 4096
"""Logits that one pass of the loss kernel holds in registers."""

UPDATE_OPTIONS = {**GEMM_OPTIONS, "num_warps": 8}


class Launcher:
    """The kernels of fully connected layers and the loss.

    Args:
        state: The pack's state.
        data: The data set.
    """

    def __init__(self, state: PackState, data: ResidentData) -> None:
        self._state, self._data = state, data

    def forward(
        self, layer: Layer, x: Tensor, source: Source, clock: Clock, out: Tensor, *, from_bytes: bool, relu: bool
    ) -> None:
        """Write x W^T + b of every slot whose clock runs, through ReLU where asked; examples stand for `x` if asked."""
        state, rows = self._state, source.num_rows
        block_r, block_h, block_f = block(rows), block(layer.outputs), min(block(layer.inputs), DEPTH)
        grid = (tiles(rows, block_r) * tiles(layer.outputs, block_h), state.num_slots)
        kernels.forward_kernel[grid](
            source.images if from_bytes else x,
            source.index,
            source.scales,
            self._data.table,
            state.weights,
            out,
            clock.cursor,
            clock.limit,
            source.index.stride(0),
            source.num_examples,
            state.weights.stride(0),
            WEIGHT=layer.weight,
            BIAS=layer.bias,
            ROWS=rows,
            INPUTS=layer.inputs,
            OUTPUTS=layer.outputs,
            RELU=relu,
            BYTES=from_bytes,
            PIXELS=self._data.pixels,
            BLOCK_R=block_r,
            BLOCK_H=block_h,
            BLOCK_F=block_f,
            **GEMM_OPTIONS,
        )

    def loss(self, logits: Tensor, source: Source, clock: Clock, delta: Tensor, *, train: bool) -> None:
        """Note losses and counts; in training write the delta of their mean, with label smoothing."""
        state, (_, rows, classes) = self._state, logits.shape
        block_c = max(16, 1 << (classes - 1).bit_length())
        block_r = max(1, min(1 << (rows - 1).bit_length(), MAX_LOSS_BLOCK // block_c))
        kernels.loss_kernel[(state.num_slots,)](
            logits,
            source.index,
            source.labels,
            state.smoothing,
            delta,
            clock.losses,
            clock.correct,
            clock.cursor,
            clock.limit,
            source.index.stride(0),
            source.num_examples,
            state.num_slots,
            ROWS=rows,
            CLASSES=classes,
            TRAIN=train,
            BLOCK_R=block_r,
            BLOCK_C=block_c,
            **GEMM_OPTIONS,
        )

    def backward(self, layer: Layer, delta: Tensor, activation: Tensor, out: Tensor) -> None:
        """Write the delta below a layer."""
        state, rows = self._state, delta.shape[1]
        block_r, block_f, block_h = block(rows), block(layer.inputs), min(block(layer.outputs), DEPTH)
        grid = (tiles(rows, block_r) * tiles(layer.inputs, block_f), state.num_slots)
        kernels.backward_kernel[grid](
            delta,
            state.weights,
            activation,
            out,
            state.clock.cursor,
            state.clock.limit,
            state.weights.stride(0),
            WEIGHT=layer.weight,
            ROWS=rows,
            INPUTS=layer.inputs,
            OUTPUTS=layer.outputs,
            BLOCK_R=block_r,
            BLOCK_F=block_f,
            BLOCK_H=block_h,
            **GEMM_OPTIONS,
        )


class Updates:
    """The updates of a network's layers; a gradient of a fully connected layer never reaches memory.

    Args:
        layers: The network's layers.
        kind: The optimizer.
        state: The pack's state.
        moments: What its optimizer remembers.
        data: The data set.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        kind: OptimizerKind,
        state: PackState,
        moments: SurvivorMoments,
        data: ResidentData,
    ) -> None:
        self._places = dict(zip(layers, places_of(layers), strict=True))
        self._kind = kind
        self._state, self._moments, self._data = state, moments, data

    def from_delta(self, layer: Layer, delta: Tensor, x: Tensor, source: Source, *, from_bytes: bool) -> None:
        """Update a layer, given the delta of its outputs [G, R, H] and what it reads: `x` [G, R, F] or examples."""
        rows = delta.shape[1]
        update_kernels.update_kernel[self._grid(layer)](
            delta,
            source.images if from_bytes else x,
            source.index,
            source.scales,
            self._data.table,
            *self._tensors(),
            source.index.stride(0),
            *self._strides(),
            **self._constants(layer),
            ROWS=rows,
            BYTES=from_bytes,
            PIXELS=self._data.pixels,
            BLOCK_R=min(block(rows), DEPTH),
            **UPDATE_OPTIONS,
        )

    def from_sums(self, layer: Layer, sums: Tensor, bias_sums: Tensor) -> None:
        """Update a layer, given its gradients in parts, [G, parts, H, F] and [G, parts, H]."""
        update_kernels.update_by_sums_kernel[self._grid(layer)](
            sums,
            bias_sums,
            *self._tensors(),
            *self._strides(),
            **self._constants(layer),
            SPLITS=sums.shape[1],
            **UPDATE_OPTIONS,
        )

    def _grid(self, layer: Layer) -> tuple[int, int]:
        return self._places[layer].num_tiles, self._state.num_slots

    def _tensors(self) -> tuple[Tensor, ...]:
        state, moments = self._state, self._moments
        first, second = (*moments.vectors, state.weights, state.weights)[:2]
        return (
            state.weights,
            first,
            second,
            moments.words,
            moments.begins,
            state.rates,
            state.decay,
            state.momentum,
            state.clock.cursor,
            state.clock.limit,
        )

    def _strides(self) -> tuple[int, ...]:
        state, moments = self._state, self._moments
        return state.weights.stride(0), moments.words.stride(0), moments.begins.stride(0), state.num_slots

    def _constants(self, layer: Layer) -> Mapping[str, Any]:
        place = self._places[layer]
        return {
            "WEIGHT": layer.weight,
            "BIAS": layer.bias,
            "INPUTS": layer.inputs,
            "OUTPUTS": layer.outputs,
            "WORDS": place.words,
            "WORDS_OF_ROW": place.words_of_row,
            "BLOCKS": place.blocks,
            "NUM_TILES": place.num_tiles,
            "KIND": NUM_MOMENTS[self._kind],
            "BETA1": ADAM_BETAS[0],
            "BETA2": ADAM_BETAS[1],
            "EPSILON": ADAM_EPSILON,
            "BLOCK_H": block(layer.outputs),
            "BLOCK_F": block(layer.inputs),
        }
