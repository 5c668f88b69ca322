"""Launches of the kernels of convolutions and pools on one pack: every slot in the same launch."""

from __future__ import annotations

from torch import Tensor

from lth_core.engines.pack import conv_kernels, pool_kernels
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.source import Source
from lth_core.engines.pack.stages import Convolution, Pool
from lth_core.engines.pack.state import Clock, PackState
from lth_core.engines.pack.tiling import DEPTH, GEMM_OPTIONS, PLACES_PER_SPLIT, block, num_splits, tiles

POOL_BLOCK = 1024
"""Windows, each of one channel, that one program of a pool takes."""


class ConvLauncher:
    """The kernels of convolutions and pools on one pack's tensors, for the slots whose clock runs.

    Maps are float32 [G, R, H*W*C], channels last and contiguous; a slot's maps have less than 2**31 numbers.

    Args:
        state: The pack's state.
        data: The data set.
    """

    def __init__(self, state: PackState, data: ResidentData) -> None:
        self._state, self._data = state, data

    def forward(
        self, conv: Convolution, x: Tensor, source: Source, clock: Clock, out: Tensor, *, from_bytes: bool
    ) -> None:
        """Write a convolution through ReLU; from bytes it reads examples and ignores `x`."""
        state, rows, outputs = self._state, source.num_rows, conv.layer.outputs
        places = rows * conv.height * conv.width
        assert max(places * outputs, places * conv.channels) < 2**31, "a slot's maps are addressed by 32 bits"
        block_p, block_o, block_f = block(places), block(outputs), min(block(conv.layer.inputs), DEPTH)
        grid = (tiles(places, block_p) * tiles(outputs, block_o), state.num_slots)
        conv_kernels.conv_forward_kernel[grid](
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
            WEIGHT=conv.layer.weight,
            BIAS=conv.layer.bias,
            ROWS=rows,
            CHANNELS=conv.channels,
            HEIGHT=conv.height,
            WIDTH=conv.width,
            OUTPUTS=outputs,
            BYTES=from_bytes,
            BLOCK_P=block_p,
            BLOCK_O=block_o,
            BLOCK_F=block_f,
            **GEMM_OPTIONS,
        )

    def backward(self, conv: Convolution, delta: Tensor, activation: Tensor, out: Tensor) -> None:
        """Write the delta below a convolution, whose input is the activation."""
        state, rows = self._state, delta.shape[1]
        places, outputs = rows * conv.height * conv.width, conv.layer.outputs
        block_p, block_c, block_h = block(places), block(conv.channels), min(block(9 * outputs), DEPTH)
        grid = (tiles(places, block_p) * tiles(conv.channels, block_c), state.num_slots)
        conv_kernels.conv_backward_kernel[grid](
            delta,
            state.weights,
            activation,
            out,
            state.clock.cursor,
            state.clock.limit,
            state.weights.stride(0),
            WEIGHT=conv.layer.weight,
            ROWS=rows,
            CHANNELS=conv.channels,
            HEIGHT=conv.height,
            WIDTH=conv.width,
            OUTPUTS=outputs,
            BLOCK_P=block_p,
            BLOCK_C=block_c,
            BLOCK_H=block_h,
            **GEMM_OPTIONS,
        )

    def gradient(
        self,
        conv: Convolution,
        delta: Tensor,
        x: Tensor,
        source: Source,
        sums: Tensor,
        bias_sums: Tensor,
        *,
        from_bytes: bool,
    ) -> None:
        """Write the gradients in partial sums, for another kernel to add in their order.

        Args:
            conv: The convolution.
            delta: Of its output before ReLU, [G, R, H*W*O].
            x: Its input, ignored if it reads examples.
            source: Where these come from.
            sums: For the gradients of weights, [G, `num_splits(R * H * W)`, O, 9*C].
            bias_sums: For those of biases, [G, `num_splits(R * H * W)`, O].
            from_bytes: Whether it reads examples.
        """
        state, rows = self._state, delta.shape[1]
        places, outputs, inputs = rows * conv.height * conv.width, conv.layer.outputs, conv.layer.inputs
        block_p, block_o, block_f = min(block(places), DEPTH), block(outputs), block(inputs)
        grid = (tiles(outputs, block_o) * tiles(inputs, block_f), num_splits(places), state.num_slots)
        conv_kernels.conv_gradient_kernel[grid](
            delta,
            source.images if from_bytes else x,
            source.index,
            source.scales,
            self._data.table,
            sums,
            bias_sums,
            state.clock.cursor,
            state.clock.limit,
            source.index.stride(0),
            ROWS=rows,
            CHANNELS=conv.channels,
            HEIGHT=conv.height,
            WIDTH=conv.width,
            OUTPUTS=outputs,
            BYTES=from_bytes,
            PER_SPLIT=PLACES_PER_SPLIT,
            BLOCK_P=block_p,
            BLOCK_O=block_o,
            BLOCK_F=block_f,
            **GEMM_OPTIONS,
        )

    def pool(self, pool: Pool, x: Tensor, clock: Clock, out: Tensor) -> None:
        """Write the largest of every 2x2 places."""
        rows = x.shape[1]
        pool_kernels.pool_kernel[(tiles(rows * pool.size, POOL_BLOCK), self._state.num_slots)](
            x,
            out,
            clock.cursor,
            clock.limit,
            ROWS=rows,
            CHANNELS=pool.channels,
            HEIGHT=pool.height,
            WIDTH=pool.width,
            BLOCK=POOL_BLOCK,
            **GEMM_OPTIONS,
        )

    def unpool(self, pool: Pool, delta: Tensor, activation: Tensor, out: Tensor) -> None:
        """Write the delta of a pool's input, which is the activation."""
        state, rows = self._state, delta.shape[1]
        windows = rows * tiles(pool.height, 2) * tiles(pool.width, 2)
        pool_kernels.unpool_kernel[(tiles(windows * pool.channels, POOL_BLOCK), state.num_slots)](
            delta,
            activation,
            out,
            state.clock.cursor,
            state.clock.limit,
            ROWS=rows,
            CHANNELS=pool.channels,
            HEIGHT=pool.height,
            WIDTH=pool.width,
            BLOCK=POOL_BLOCK,
            **GEMM_OPTIONS,
        )
