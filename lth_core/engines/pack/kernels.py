"""Triton kernels of a step of fully connected networks: one program per slot and tile, in a fixed order of sums.

A program reads its slot's rows and no other's, sums in one fixed order (no atomics, no split sums, no autotuning), and
returns at once where the slot's clock has run out. Products are strict float32. Each kernel is the function of the same
name in `lth_core.engines.pack.plain`, to rounding.
"""

# mypy: ignore-errors
# ruff: noqa: N803 - constants of a kernel are written in capitals, as Triton's own are
# Triton compiles these functions from their source: they are not Python that a type checker could follow.
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def rows_of_x(
    x, index, scales, table, rows, columns, valid, INPUTS: tl.constexpr, BYTES: tl.constexpr, PIXELS: tl.constexpr
):
    """Load [rows, columns] of a layer's input: activations of the slot, or examples by their index from bytes."""
    inside = valid[:, None] & (columns < INPUTS)[None, :]
    if BYTES:
        example = tl.load(index + rows, mask=valid, other=0).to(tl.int64)
        raw = tl.load(x + example[:, None] * INPUTS + columns[None, :], mask=inside, other=0).to(tl.int32)
        found = tl.load(table + (columns // PIXELS * 256)[None, :] + raw, mask=inside, other=0.0)
        found *= tl.load(scales + example, mask=valid, other=0.0)[:, None]
    else:
        found = tl.load(x + rows[:, None] * INPUTS + columns[None, :], mask=inside, other=0.0)
    return found


@triton.jit
def forward_kernel(
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
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    RELU: tl.constexpr,
    BYTES: tl.constexpr,
    PIXELS: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    """One tile of out = x W^T + b, through ReLU where asked. Grid: (tiles of R x H, slots)."""
    slot = tl.program_id(1).to(tl.int64)
    step = tl.load(cursor)
    if step >= tl.load(limit + slot):
        return
    across: tl.constexpr = (OUTPUTS + BLOCK_H - 1) // BLOCK_H
    rows = tl.program_id(0) // across * BLOCK_R + tl.arange(0, BLOCK_R)
    units = tl.program_id(0) % across * BLOCK_H + tl.arange(0, BLOCK_H)
    valid = (rows < ROWS) & (rows + step * ROWS < num_examples)
    first = index + slot * index_stride + step * ROWS
    if not BYTES:
        x += slot * ROWS * INPUTS
    weights += slot * row_stride
    total = tl.zeros((BLOCK_R, BLOCK_H), dtype=tl.float32)
    for start in range(0, INPUTS, BLOCK_F):
        columns = start + tl.arange(0, BLOCK_F)
        seen = rows_of_x(x, first, scales, table, rows, columns, valid, INPUTS, BYTES, PIXELS)
        inside = (columns < INPUTS)[:, None] & (units < OUTPUTS)[None, :]
        w = tl.load(weights + WEIGHT + units[None, :] * INPUTS + columns[:, None], mask=inside, other=0.0)
        total = tl.dot(seen, w, total, input_precision="ieee")
    total += tl.load(weights + BIAS + units, mask=units < OUTPUTS, other=0.0)[None, :]
    if RELU:
        total = tl.where(total < 0, 0.0, total)
    at = out + slot * ROWS * OUTPUTS + rows[:, None] * OUTPUTS + units[None, :]
    tl.store(at, total, mask=valid[:, None] & (units < OUTPUTS)[None, :])


@triton.jit
def loss_kernel(
    logits,
    index,
    labels,
    smoothing,
    delta,
    losses,
    correct,
    cursor,
    limit,
    index_stride,
    num_examples,
    num_slots,
    ROWS: tl.constexpr,
    CLASSES: tl.constexpr,
    TRAIN: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Softmax cross entropy of one slot; in training its mean and its delta, else its sum. Grid: (slots,)."""
    slot = tl.program_id(0).to(tl.int64)
    step = tl.load(cursor)
    if step >= tl.load(limit + slot):
        return
    soft = 0.0
    if TRAIN:
        soft = tl.load(smoothing + slot)
    classes = tl.arange(0, BLOCK_C)
    real = (classes < CLASSES)[None, :]
    total = tl.zeros((BLOCK_R,), dtype=tl.float32)
    right = tl.zeros((BLOCK_R,), dtype=tl.int32)
    for start in range(0, ROWS, BLOCK_R):
        rows = start + tl.arange(0, BLOCK_R)
        valid = (rows < ROWS) & (rows + step * ROWS < num_examples)
        at = slot * ROWS * CLASSES + rows[:, None] * CLASSES + classes[None, :]
        z = tl.load(logits + at, mask=valid[:, None] & real, other=0.0)
        z = tl.where(real, z, float("-inf"))
        example = tl.load(index + slot * index_stride + step * ROWS + rows, mask=valid, other=0)
        label = tl.load(labels + example, mask=valid, other=0)
        shifted = z - tl.max(z, axis=1)[:, None]
        powers = tl.exp(shifted)
        mass = tl.sum(powers, axis=1)
        log_p = tl.where(real, shifted - tl.log(mass)[:, None], 0.0)
        hit = classes[None, :] == label[:, None]
        picked = tl.sum(tl.where(hit, log_p, 0.0), axis=1)
        row = -((1 - soft) * picked + soft / CLASSES * tl.sum(log_p, axis=1))
        total += tl.where(valid, row, 0.0)
        right += ((tl.argmax(z, axis=1) == label) & valid).to(tl.int32)
        if TRAIN:
            target = tl.where(hit, 1 - soft, 0.0) + soft / CLASSES
            change = tl.div_rn(tl.div_rn(powers, mass[:, None] + tl.zeros_like(powers)) - target, ROWS * 1.0)
            tl.store(delta + at, change, mask=valid[:, None] & real)
    whole = tl.sum(total, axis=0)
    if TRAIN:
        whole = tl.div_rn(whole, ROWS * 1.0)
    tl.store(losses + step * num_slots + slot, whole)
    tl.store(correct + step * num_slots + slot, tl.sum(right, axis=0))


@triton.jit
def backward_kernel(
    delta,
    weights,
    activation,
    out,
    cursor,
    limit,
    row_stride,
    WEIGHT: tl.constexpr,
    ROWS: tl.constexpr,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_H: tl.constexpr,
):
    """One tile of the delta below a layer: delta W where the activation is above 0. Grid: (tiles of R x F, slots)."""
    slot = tl.program_id(1).to(tl.int64)
    if tl.load(cursor) >= tl.load(limit + slot):
        return
    across: tl.constexpr = (INPUTS + BLOCK_F - 1) // BLOCK_F
    rows = tl.program_id(0) // across * BLOCK_R + tl.arange(0, BLOCK_R)
    columns = tl.program_id(0) % across * BLOCK_F + tl.arange(0, BLOCK_F)
    delta += slot * ROWS * OUTPUTS
    weights += slot * row_stride + WEIGHT
    total = tl.zeros((BLOCK_R, BLOCK_F), dtype=tl.float32)
    for start in range(0, OUTPUTS, BLOCK_H):
        units = start + tl.arange(0, BLOCK_H)
        of_delta = (rows < ROWS)[:, None] & (units < OUTPUTS)[None, :]
        of_weights = (units < OUTPUTS)[:, None] & (columns < INPUTS)[None, :]
        d = tl.load(delta + rows[:, None] * OUTPUTS + units[None, :], mask=of_delta, other=0.0)
        w = tl.load(weights + units[:, None] * INPUTS + columns[None, :], mask=of_weights, other=0.0)
        total = tl.dot(d, w, total, input_precision="ieee")
    inside = (rows < ROWS)[:, None] & (columns < INPUTS)[None, :]
    at = slot * ROWS * INPUTS + rows[:, None] * INPUTS + columns[None, :]
    above = tl.load(activation + at, mask=inside, other=0.0) > 0
    tl.store(out + at, tl.where(above, total, 0.0), mask=inside)
