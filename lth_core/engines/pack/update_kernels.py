"""Triton kernels of an update: gradient, mask and optimizer of one tile of weights, state at survivors alone.

Where a tile's survivors and their moments lie is `lth_core.engines.pack.survivors`; the arithmetic is
`lth_core.engines.pack.plain.update`, to rounding.
"""

# mypy: ignore-errors
# ruff: noqa: N803 - constants of a kernel are written in capitals, as Triton's own are
# Triton compiles these functions from their source: they are not Python that a type checker could follow.
from __future__ import annotations

import triton
import triton.language as tl

from lth_core.engines.pack.kernels import rows_of_x


@triton.jit
def _update_at(
    at,
    position,
    kept,
    gradient,
    weights,
    first,
    second,
    rate,
    root,
    left,
    decay,
    momentum,
    KIND: tl.constexpr,
    BETA1: tl.constexpr,
    BETA2: tl.constexpr,
    EPSILON: tl.constexpr,
):
    """Update the kept ones of some weights, their moments at `position`. KIND 0 is SGD, 1 has momentum, 2 is Adam."""
    w = tl.load(weights + at, mask=kept, other=0.0) * left
    g = tl.where(decay != 0, gradient + decay * w, gradient)
    if KIND == 1:
        g = momentum * tl.load(first + position, mask=kept, other=0.0) + g
        tl.store(first + position, g, mask=kept)
    if KIND == 2:
        mean = tl.load(first + position, mask=kept, other=0.0)
        mean += (1 - BETA1) * (g - mean)
        square = BETA2 * tl.load(second + position, mask=kept, other=0.0) + (1 - BETA2) * g * g
        tl.store(first + position, mean, mask=kept)
        tl.store(second + position, square, mask=kept)
        g = tl.div_rn(mean, tl.div_rn(tl.sqrt_rn(square), root + tl.zeros_like(square)) + EPSILON)
    tl.store(weights + at, w - rate * g, mask=kept)


@triton.jit
def _update_tile(
    of_weights,
    of_biases,
    units,
    columns,
    slot,
    step,
    weights,
    first,
    second,
    words,
    begins,
    rates,
    decays,
    momenta,
    row_stride,
    words_stride,
    begins_stride,
    num_slots,
    WEIGHT: tl.constexpr,
    BIAS: tl.constexpr,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    WORDS: tl.constexpr,
    WORDS_OF_ROW: tl.constexpr,
    BLOCKS: tl.constexpr,
    NUM_TILES: tl.constexpr,
    KIND: tl.constexpr,
    BETA1: tl.constexpr,
    BETA2: tl.constexpr,
    EPSILON: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    """Update the survivors of this program's tile, given its gradients; the first tile of a row updates its biases."""
    row = slot * row_stride
    of_step = rates + (step * num_slots + slot) * 3
    rate, root, left = tl.load(of_step), tl.load(of_step + 1), tl.load(of_step + 2)
    decay, momentum = tl.load(decays + slot), tl.load(momenta + slot)
    begins += slot * begins_stride + BLOCKS
    inside = (units < OUTPUTS)[:, None] & (columns < INPUTS)[None, :]
    word = words + slot * words_stride + WORDS + units[:, None] * WORDS_OF_ROW + (columns // 32)[None, :]
    kept = (tl.load(word, mask=inside, other=0) >> (columns % 32)[None, :]) & 1
    in_rows = tl.sum(kept, axis=1)
    before = (tl.cumsum(in_rows, 0) - in_rows)[:, None] + tl.cumsum(kept, 1) - kept
    _update_at(
        row + WEIGHT + units[:, None] * INPUTS + columns[None, :],
        row + tl.load(begins + tl.program_id(0)) + before,
        kept != 0,
        of_weights,
        weights,
        first,
        second,
        rate,
        root,
        left,
        decay,
        momentum,
        KIND,
        BETA1,
        BETA2,
        EPSILON,
    )
    across: tl.constexpr = (INPUTS + BLOCK_F - 1) // BLOCK_F
    if tl.program_id(0) % across == 0:
        _update_at(
            row + BIAS + units,
            row + tl.load(begins + NUM_TILES) + units,
            units < OUTPUTS,
            of_biases,
            weights,
            first,
            second,
            rate,
            root,
            left,
            decay,
            momentum,
            KIND,
            BETA1,
            BETA2,
            EPSILON,
        )


@triton.jit
def update_kernel(
    delta,
    x,
    index,
    scales,
    table,
    weights,
    first,
    second,
    words,
    begins,
    rates,
    decays,
    momenta,
    cursor,
    limit,
    index_stride,
    row_stride,
    words_stride,
    begins_stride,
    num_slots,
    WEIGHT: tl.constexpr,
    BIAS: tl.constexpr,
    ROWS: tl.constexpr,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    WORDS: tl.constexpr,
    WORDS_OF_ROW: tl.constexpr,
    BLOCKS: tl.constexpr,
    NUM_TILES: tl.constexpr,
    BYTES: tl.constexpr,
    PIXELS: tl.constexpr,
    KIND: tl.constexpr,
    BETA1: tl.constexpr,
    BETA2: tl.constexpr,
    EPSILON: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    """Gradient, mask and optimizer of one tile of weights; the gradient stays in registers.

    The first tile of every row of tiles updates its biases, too. Grid: (tiles of H x F, slots).
    """
    slot = tl.program_id(1).to(tl.int64)
    step = tl.load(cursor)
    if step >= tl.load(limit + slot):
        return
    across: tl.constexpr = (INPUTS + BLOCK_F - 1) // BLOCK_F
    units = tl.program_id(0) // across * BLOCK_H + tl.arange(0, BLOCK_H)
    columns = tl.program_id(0) % across * BLOCK_F + tl.arange(0, BLOCK_F)
    chosen = index + slot * index_stride + step * ROWS
    delta += slot * ROWS * OUTPUTS
    if not BYTES:
        x += slot * ROWS * INPUTS
    of_weights = tl.zeros((BLOCK_H, BLOCK_F), dtype=tl.float32)
    of_biases = tl.zeros((BLOCK_H, BLOCK_R), dtype=tl.float32)
    for start in range(0, ROWS, BLOCK_R):
        rows = start + tl.arange(0, BLOCK_R)
        valid = rows < ROWS
        of_delta = (units < OUTPUTS)[:, None] & valid[None, :]
        d = tl.load(delta + rows[None, :] * OUTPUTS + units[:, None], mask=of_delta, other=0.0)
        seen = rows_of_x(x, chosen, scales, table, rows, columns, valid, INPUTS, BYTES, PIXELS)
        of_weights = tl.dot(d, seen, of_weights, input_precision="ieee")
        of_biases += d
    _update_tile(
        of_weights,
        tl.sum(of_biases, axis=1),
        units,
        columns,
        slot,
        step,
        weights,
        first,
        second,
        words,
        begins,
        rates,
        decays,
        momenta,
        row_stride,
        words_stride,
        begins_stride,
        num_slots,
        WEIGHT,
        BIAS,
        INPUTS,
        OUTPUTS,
        WORDS,
        WORDS_OF_ROW,
        BLOCKS,
        NUM_TILES,
        KIND,
        BETA1,
        BETA2,
        EPSILON,
        BLOCK_F,
    )


@triton.jit
def update_by_sums_kernel(
    sums,
    bias_sums,
    weights,
    first,
    second,
    words,
    begins,
    rates,
    decays,
    momenta,
    cursor,
    limit,
    row_stride,
    words_stride,
    begins_stride,
    num_slots,
    WEIGHT: tl.constexpr,
    BIAS: tl.constexpr,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    WORDS: tl.constexpr,
    WORDS_OF_ROW: tl.constexpr,
    BLOCKS: tl.constexpr,
    NUM_TILES: tl.constexpr,
    SPLITS: tl.constexpr,
    KIND: tl.constexpr,
    BETA1: tl.constexpr,
    BETA2: tl.constexpr,
    EPSILON: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    """Mask and optimizer of one tile of weights, whose gradients were summed in parts: the parts are added in order.

    Grid: (tiles of H x F, slots).
    """
    slot = tl.program_id(1).to(tl.int64)
    step = tl.load(cursor)
    if step >= tl.load(limit + slot):
        return
    across: tl.constexpr = (INPUTS + BLOCK_F - 1) // BLOCK_F
    units = tl.program_id(0) // across * BLOCK_H + tl.arange(0, BLOCK_H)
    columns = tl.program_id(0) % across * BLOCK_F + tl.arange(0, BLOCK_F)
    inside = (units < OUTPUTS)[:, None] & (columns < INPUTS)[None, :]
    of_weights = tl.zeros((BLOCK_H, BLOCK_F), dtype=tl.float32)
    of_biases = tl.zeros((BLOCK_H,), dtype=tl.float32)
    for part in range(SPLITS):
        at = ((slot * SPLITS + part) * OUTPUTS + units)[:, None] * INPUTS + columns[None, :]
        of_weights += tl.load(sums + at, mask=inside, other=0.0)
        of_biases += tl.load(bias_sums + (slot * SPLITS + part) * OUTPUTS + units, mask=units < OUTPUTS, other=0.0)
    _update_tile(
        of_weights,
        of_biases,
        units,
        columns,
        slot,
        step,
        weights,
        first,
        second,
        words,
        begins,
        rates,
        decays,
        momenta,
        row_stride,
        words_stride,
        begins_stride,
        num_slots,
        WEIGHT,
        BIAS,
        INPUTS,
        OUTPUTS,
        WORDS,
        WORDS_OF_ROW,
        BLOCKS,
        NUM_TILES,
        KIND,
        BETA1,
        BETA2,
        EPSILON,
        BLOCK_F,
    )
