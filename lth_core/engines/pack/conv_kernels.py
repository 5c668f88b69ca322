"""Triton kernels of 3x3 convolutions (padding 1, stride 1): one program per slot and tile, sums in order.

A convolution is a product with the patches of its input, which are read where they lie and never written. Maps lie
channels last, [R, H, W, C]; a place is one of a slot's R*H*W; a patch has 9*C columns, ordered by row, column and
channel. A program reads its slot's rows and no other's, sums in one fixed order (no atomics, no autotuning), and
returns at once where the slot's clock has run out. Products are strict float32. Each kernel is a function of
`lth_core.engines.pack.plain_conv`, to rounding.
"""

# mypy: ignore-errors
# ruff: noqa: N803 - constants of a kernel are written in capitals, as Triton's own are
# Triton compiles these functions from their source: they are not Python that a type checker could follow.
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _neighbours(places, valid, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, MIRROR: tl.constexpr):
    """Say which of the nine places of each patch lie on the map, as bits: 3 * row + column, or mirrored."""
    y, x = places // WIDTH % HEIGHT, places % WIDTH
    top, bottom = y > 0, y < HEIGHT - 1
    left, right = x > 0, x < WIDTH - 1
    if MIRROR:
        top, bottom = bottom, top
        left, right = right, left
    of_row = tl.where(left, 1, 0) + 2 + tl.where(right, 4, 0)
    bits = tl.where(top, of_row, 0) + of_row * 8 + tl.where(bottom, of_row * 64, 0)
    return tl.where(valid, bits, 0)


@triton.jit
def _patches(
    x,
    index,
    scales,
    table,
    places,
    bits,
    columns,
    CHANNELS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    BYTES: tl.constexpr,
    MIRROR: tl.constexpr,
):
    """Load [places, columns] of the patches of activations, or of examples by their index from bytes."""
    tap = tl.minimum(columns // CHANNELS, 9)  # the tenth is nobody's neighbour
    inside = ((bits[:, None] >> tap[None, :]) & 1) != 0
    away = (tap // 3 - 1) * WIDTH + tap % 3 - 1
    if MIRROR:
        away = -away
    channel = columns % CHANNELS
    if BYTES:
        pixels: tl.constexpr = HEIGHT * WIDTH
        example = tl.load(index + places // pixels, mask=bits != 0, other=0).to(tl.int64)
        at = (example * CHANNELS * pixels + places % pixels)[:, None] + (channel * pixels + away)[None, :]
        raw = tl.load(x + at, mask=inside, other=0).to(tl.int32)
        found = tl.load(table + (channel * 256)[None, :] + raw, mask=inside, other=0.0)
        found *= tl.load(scales + example, mask=bits != 0, other=0.0)[:, None]
    else:
        at = places[:, None] * CHANNELS + (away * CHANNELS + channel)[None, :]
        found = tl.load(x + at, mask=inside, other=0.0)
    return found


@triton.jit
def conv_forward_kernel(
    x,
    index,
    scales,
    table,
    weights,
    out,
    cursor,
    limit,
    index_stride,
    num_examples,
    row_stride,
    WEIGHT: tl.constexpr,
    BIAS: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    OUTPUTS: tl.constexpr,
    BYTES: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    """One tile of out = relu(patches W^T + b). Grid: (tiles of R*H*W x O, slots)."""
    slot = tl.program_id(1).to(tl.int64)
    step = tl.load(cursor)
    if step >= tl.load(limit + slot):
        return
    num_places: tl.constexpr = ROWS * HEIGHT * WIDTH
    inputs: tl.constexpr = 9 * CHANNELS
    across: tl.constexpr = (OUTPUTS + BLOCK_O - 1) // BLOCK_O
    places = tl.program_id(0) // across * BLOCK_P + tl.arange(0, BLOCK_P)
    units = tl.program_id(0) % across * BLOCK_O + tl.arange(0, BLOCK_O)
    valid = (places < num_places) & (places // (HEIGHT * WIDTH) + step * ROWS < num_examples)
    bits = _neighbours(places, valid, HEIGHT, WIDTH, False)
    chosen = index + slot * index_stride + step * ROWS
    if not BYTES:
        x += slot * num_places * CHANNELS
    weights += slot * row_stride
    total = tl.zeros((BLOCK_P, BLOCK_O), dtype=tl.float32)
    for start in range(0, inputs, BLOCK_F):
        columns = start + tl.arange(0, BLOCK_F)
        seen = _patches(x, chosen, scales, table, places, bits, columns, CHANNELS, HEIGHT, WIDTH, BYTES, False)
        inside = (columns < inputs)[:, None] & (units < OUTPUTS)[None, :]
        w = tl.load(weights + WEIGHT + units[None, :] * inputs + columns[:, None], mask=inside, other=0.0)
        total = tl.dot(seen, w, total, input_precision="ieee")
    total += tl.load(weights + BIAS + units, mask=units < OUTPUTS, other=0.0)[None, :]
    total = tl.where(total < 0, 0.0, total)
    at = out + slot * num_places * OUTPUTS + places[:, None] * OUTPUTS + units[None, :]
    tl.store(at, total, mask=valid[:, None] & (units < OUTPUTS)[None, :])


@triton.jit
def conv_backward_kernel(
    delta,
    weights,
    activation,
    out,
    cursor,
    limit,
    row_stride,
    WEIGHT: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    OUTPUTS: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_H: tl.constexpr,
):
    """One tile of the delta below a convolution, where the activation is above 0. Grid: (tiles of R*H*W x C, slots).

    The sum runs over rows and columns of the patch, then outputs: the place that an output read at (row, column) of its
    patch has that output at the mirrored one.
    """
    slot = tl.program_id(1).to(tl.int64)
    if tl.load(cursor) >= tl.load(limit + slot):
        return
    num_places: tl.constexpr = ROWS * HEIGHT * WIDTH
    across: tl.constexpr = (CHANNELS + BLOCK_C - 1) // BLOCK_C
    places = tl.program_id(0) // across * BLOCK_P + tl.arange(0, BLOCK_P)
    channels = tl.program_id(0) % across * BLOCK_C + tl.arange(0, BLOCK_C)
    bits = _neighbours(places, places < num_places, HEIGHT, WIDTH, True)
    delta += slot * num_places * OUTPUTS
    weights += slot * row_stride + WEIGHT
    total = tl.zeros((BLOCK_P, BLOCK_C), dtype=tl.float32)
    for start in range(0, 9 * OUTPUTS, BLOCK_H):
        terms = start + tl.arange(0, BLOCK_H)
        d = _patches(delta, None, None, None, places, bits, terms, OUTPUTS, HEIGHT, WIDTH, False, True)
        of_term = terms % OUTPUTS * (9 * CHANNELS) + terms // OUTPUTS * CHANNELS
        of_weights = (terms < 9 * OUTPUTS)[:, None] & (channels < CHANNELS)[None, :]
        w = tl.load(weights + of_term[:, None] + channels[None, :], mask=of_weights, other=0.0)
        total = tl.dot(d, w, total, input_precision="ieee")
    inside = (places < num_places)[:, None] & (channels < CHANNELS)[None, :]
    at = slot * num_places * CHANNELS + places[:, None] * CHANNELS + channels[None, :]
    above = tl.load(activation + at, mask=inside, other=0.0) > 0
    tl.store(out + at, tl.where(above, total, 0.0), mask=inside)


@triton.jit
def conv_gradient_kernel(
    delta,
    x,
    index,
    scales,
    table,
    sums,
    bias_sums,
    cursor,
    limit,
    index_stride,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    OUTPUTS: tl.constexpr,
    BYTES: tl.constexpr,
    PER_SPLIT: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    """One tile of the gradient of weights, summed over one split: the next PER_SPLIT places.

    The first tile of every row of tiles sums the gradient of its biases, too. Grid: (tiles of O x 9*C, splits, slots).
    """
    split, slot = tl.program_id(1), tl.program_id(2).to(tl.int64)
    step = tl.load(cursor)
    if step >= tl.load(limit + slot):
        return
    num_places: tl.constexpr = ROWS * HEIGHT * WIDTH
    inputs: tl.constexpr = 9 * CHANNELS
    across: tl.constexpr = (inputs + BLOCK_F - 1) // BLOCK_F
    column = tl.program_id(0) % across
    units = tl.program_id(0) // across * BLOCK_O + tl.arange(0, BLOCK_O)
    columns = column * BLOCK_F + tl.arange(0, BLOCK_F)
    chosen = index + slot * index_stride + step * ROWS
    delta += slot * num_places * OUTPUTS
    if not BYTES:
        x += slot * num_places * CHANNELS
    total = tl.zeros((BLOCK_O, BLOCK_F), dtype=tl.float32)
    of_bias = tl.zeros((BLOCK_O, BLOCK_P), dtype=tl.float32)
    first = split * PER_SPLIT
    for start in range(first, min(first + PER_SPLIT, num_places), BLOCK_P):
        places = start + tl.arange(0, BLOCK_P)
        valid = places < num_places
        bits = _neighbours(places, valid, HEIGHT, WIDTH, False)
        of_delta = (units < OUTPUTS)[:, None] & valid[None, :]
        d = tl.load(delta + places[None, :] * OUTPUTS + units[:, None], mask=of_delta, other=0.0)
        seen = _patches(x, chosen, scales, table, places, bits, columns, CHANNELS, HEIGHT, WIDTH, BYTES, False)
        total = tl.dot(d, seen, total, input_precision="ieee")
        of_bias += d
    of_split = (slot * tl.num_programs(1) + split) * OUTPUTS
    inside = (units < OUTPUTS)[:, None] & (columns < inputs)[None, :]
    tl.store(sums + of_split * inputs + units[:, None] * inputs + columns[None, :], total, mask=inside)
    if column == 0:
        tl.store(bias_sums + of_split + units, tl.sum(of_bias, axis=1), mask=units < OUTPUTS)
