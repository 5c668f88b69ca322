"""Triton kernels of 2x2 pools: one program per slot and block of windows, each the function of its name, exactly.

Maps lie channels last, [R, H, W, C]. A program reads its slot's rows and no other's, and returns at once where the
slot's clock has run out. The meaning is `lth_core.engines.pack.plain_conv`.
"""

# mypy: ignore-errors
# ruff: noqa: N803 - constants of a kernel are written in capitals, as Triton's own are
# Triton compiles these functions from their source: they are not Python that a type checker could follow.
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _larger(a, b):
    """Return the larger, or NaN if one of them is."""
    return tl.where((b > a) | (b != b), b, a)


@triton.jit
def pool_kernel(
    x,
    out,
    cursor,
    limit,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The largest of every 2x2 places; a last odd row or column is left out. Grid: (blocks of outputs, slots)."""
    slot = tl.program_id(1).to(tl.int64)
    if tl.load(cursor) >= tl.load(limit + slot):
        return
    high: tl.constexpr = HEIGHT // 2
    wide: tl.constexpr = WIDTH // 2
    num: tl.constexpr = ROWS * high * wide * CHANNELS
    number = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    valid = number < num
    channel, window = number % CHANNELS, number // CHANNELS
    row = window // wide // high * HEIGHT + window // wide % high * 2
    at = x + slot * (ROWS * HEIGHT * WIDTH * CHANNELS) + (row * WIDTH + window % wide * 2) * CHANNELS + channel
    below = at + WIDTH * CHANNELS
    upper = _larger(tl.load(at, mask=valid, other=0.0), tl.load(at + CHANNELS, mask=valid, other=0.0))
    lower = _larger(tl.load(below, mask=valid, other=0.0), tl.load(below + CHANNELS, mask=valid, other=0.0))
    tl.store(out + slot * num + number, _larger(upper, lower), mask=valid)


@triton.jit
def unpool_kernel(
    delta,
    activation,
    out,
    cursor,
    limit,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The delta of a pool's input: the pool's at each window's first maximum, row by row, if that is above 0; else 0.

    Windows that an odd size cuts off have no delta, and write zeros. Grid: (blocks of windows x channels, slots).
    """
    slot = tl.program_id(1).to(tl.int64)
    if tl.load(cursor) >= tl.load(limit + slot):
        return
    high: tl.constexpr = (HEIGHT + 1) // 2
    wide: tl.constexpr = (WIDTH + 1) // 2
    number = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    valid = number < ROWS * high * wide * CHANNELS
    channel, window = number % CHANNELS, number // CHANNELS
    example, y, x = window // wide // high, window // wide % high, window % wide
    whole = valid & (y < HEIGHT // 2) & (x < WIDTH // 2)
    of_delta = ((example * (HEIGHT // 2) + y) * (WIDTH // 2) + x) * CHANNELS + channel
    delta += slot * (ROWS * (HEIGHT // 2) * (WIDTH // 2) * CHANNELS)
    d = tl.load(delta + of_delta, mask=whole, other=0.0)
    at = slot * (ROWS * HEIGHT * WIDTH * CHANNELS) + ((example * HEIGHT + y * 2) * WIDTH + x * 2) * CHANNELS + channel
    to_right, below = valid & (x * 2 + 1 < WIDTH), valid & (y * 2 + 1 < HEIGHT)
    a0 = tl.load(activation + at, mask=valid, other=0.0)
    a1 = tl.load(activation + at + CHANNELS, mask=to_right, other=0.0)
    a2 = tl.load(activation + at + WIDTH * CHANNELS, mask=below, other=0.0)
    a3 = tl.load(activation + at + (WIDTH + 1) * CHANNELS, mask=to_right & below, other=0.0)
    best = _larger(_larger(a0, a1), _larger(a2, a3))
    d = tl.where(best > 0, d, 0.0)
    tl.store(out + at, tl.where(a0 == best, d, 0.0), mask=valid)
    free = a0 != best
    tl.store(out + at + CHANNELS, tl.where(free & (a1 == best), d, 0.0), mask=to_right)
    free &= a1 != best
    tl.store(out + at + WIDTH * CHANNELS, tl.where(free & (a2 == best), d, 0.0), mask=below)
    free &= a2 != best
    tl.store(out + at + (WIDTH + 1) * CHANNELS, tl.where(free & (a3 == best), d, 0.0), mask=to_right & below)
