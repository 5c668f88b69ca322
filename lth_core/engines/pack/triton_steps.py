"""Steps of fully connected networks by the Triton kernels: every slot in the same launches, each tile its own program.

The tiles are functions of the shape alone: they are part of the numerical identity, and nothing is tuned at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lth_core.engines.base import Plan
from lth_core.engines.pack import kernels
from lth_core.engines.pack.layout import Layer, dense_layers
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.shape import NUM_MOMENTS, OptimizerKind, PackShape
from lth_core.engines.pack.source import Source, training_source
from lth_core.engines.pack.state import Clock, PackState
from lth_core.engines.pack.steps import Stretch
from lth_core.optimizers import ADAM_BETAS, ADAM_EPSILON

LARGEST_BLOCK = 64
DEPTH = 32
"""Products that one pass of a kernel sums before the next: more of them would not fit into registers."""
MAX_LOSS_BLOCK = 4096
"""Logits that one pass of the loss kernel holds in registers."""

GEMM_OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}
UPDATE_OPTIONS = {"num_warps": 8, "enable_fp_fusion": True}
"""How the kernels are compiled; fused multiply-add is said outright because its default changes between versions."""


class Launcher:
    """The kernels on one pack's tensors.

    Args:
        layers: The network.
        kind: The optimizer.
        state: The pack's state.
        data: The data set.
    """

    def __init__(self, layers: Sequence[Layer], kind: OptimizerKind, state: PackState, data: ResidentData) -> None:
        self._first_layer = layers[0]
        self._kind = kind
        self._state, self._data = state, data

    def forward(self, layer: Layer, x: Tensor, source: Source, clock: Clock, out: Tensor, *, relu: bool) -> None:
        """Write x W^T + b of every slot whose clock runs; the first layer reads examples and ignores `x`."""
        state, rows = self._state, source.num_rows
        from_bytes = layer is self._first_layer
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

    def update(self, layer: Layer, delta: Tensor, x: Tensor, source: Source) -> None:
        """Update a layer's weights and biases; the gradient never reaches memory."""
        state, rows = self._state, delta.shape[1]
        from_bytes = layer is self._first_layer
        block_r, block_h, block_f = min(block(rows), DEPTH), block(layer.outputs), block(layer.inputs)
        grid = (tiles(layer.outputs, block_h) * tiles(layer.inputs, block_f), state.num_slots)
        first, second = (*state.moments, state.weights, state.weights)[:2]
        kernels.update_kernel[grid](
            delta,
            source.images if from_bytes else x,
            source.index,
            source.scales,
            self._data.table,
            state.weights,
            first,
            second,
            state.keep.view(torch.uint8),
            state.rates,
            state.decay,
            state.momentum,
            state.clock.cursor,
            state.clock.limit,
            source.index.stride(0),
            state.weights.stride(0),
            state.num_slots,
            WEIGHT=layer.weight,
            BIAS=layer.bias,
            ROWS=rows,
            INPUTS=layer.inputs,
            OUTPUTS=layer.outputs,
            BYTES=from_bytes,
            PIXELS=self._data.pixels,
            KIND=NUM_MOMENTS[self._kind],
            BETA1=ADAM_BETAS[0],
            BETA2=ADAM_BETAS[1],
            EPSILON=ADAM_EPSILON,
            BLOCK_R=block_r,
            BLOCK_H=block_h,
            BLOCK_F=block_f,
            **UPDATE_OPTIONS,
        )


class TritonSteps:
    """The interface is `lth_core.engines.pack.steps.Steps`.

    Args:
        shape: What the slots have in common.
        state: Their state.
        data: The data set.
    """

    def __init__(self, shape: PackShape, state: PackState, data: ResidentData) -> None:
        self.max_steps = state.order.shape[1]
        self._layers = dense_layers(shape.tensors)
        self._state = state
        self._source = training_source(data, state.order)
        self._launch = Launcher(self._layers, shape.optimizer, state, data)
        self._seen: dict[int, list[Tensor]] = {}
        self._deltas = [torch.zeros_like(seen) for seen in self._outputs(shape.batch_size)]

    def admit(self, slot: int, plan: Plan) -> None:
        """Nothing beside the state belongs to a slot."""

    def ready(self, position: int, stretches: Sequence[Stretch]) -> None:
        """Nothing beside the state is read."""

    def train(self) -> None:
        """Take one step with every slot whose clock runs: all deltas first, from the weights before the update."""
        source, launch = self._source, self._launch
        seen = self._forward(source, self._state.clock)
        launch.loss(seen[-1], source, self._state.clock, self._deltas[-1], train=True)
        for i in range(len(self._layers) - 1, 0, -1):
            launch.backward(self._layers[i], self._deltas[i], seen[i - 1], self._deltas[i - 1])
        for i, layer in enumerate(self._layers):
            launch.update(layer, self._deltas[i], seen[max(i - 1, 0)], source)
        self._state.clock.tick()

    def judge(self, source: Source, clock: Clock) -> None:
        """Evaluate one batch."""
        logits = self._forward(source, clock)[-1]
        self._launch.loss(logits, source, clock, logits, train=False)
        clock.tick()

    def _forward(self, source: Source, clock: Clock) -> list[Tensor]:
        """Return every layer's output, float32 [G, R, H]."""
        outputs = self._outputs(source.num_rows)
        for i, layer in enumerate(self._layers):
            is_last = i == len(self._layers) - 1
            self._launch.forward(layer, outputs[max(i - 1, 0)], source, clock, outputs[i], relu=not is_last)
        return outputs

    def _outputs(self, num_rows: int) -> list[Tensor]:
        """Return the tensors for outputs of so many rows, made once: a graph remembers their addresses."""
        if num_rows not in self._seen:
            device, num_slots = self._state.device, self._state.num_slots
            shapes: list[Any] = [(num_slots, num_rows, layer.outputs) for layer in self._layers]
            self._seen[num_rows] = [torch.zeros(shape, device=device) for shape in shapes]
        return self._seen[num_rows]


def block(size: int) -> int:
    """Return the side of a tile along a dimension: a power of two from 16 to 64."""
    return min(LARGEST_BLOCK, max(16, 1 << (size - 1).bit_length()))


def tiles(size: int, block_size: int) -> int:
    """Return how many tiles cover a dimension."""
    return -(-size // block_size)
