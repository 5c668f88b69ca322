"""Convolutions and pools in plain torch, for any number of slots at once: the reference of every kernel of theirs.

Maps lie channels last. Shapes: n slots, R examples each, maps of H x W places, C channels read, O put out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lth_core.engines.pack import plain
from lth_core.engines.pack.stages import Convolution, Pool


def channels_last(images: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Return examples ordered by row, column and channel: [n, R, C*H*W] -> [n, R, H*W*C]."""
    return images.view(*images.shape[:2], channels, height * width).transpose(2, 3).flatten(2)


def patches(x: Tensor, height: int, width: int) -> Tensor:
    """Return the 3x3 patch around every place, 0 outside of the map: [n, R, H*W*C] -> [n, R*H*W, 9*C]."""
    padded = functional.pad(_maps(x, height, width), (0, 0, 1, 1, 1, 1))
    shifted = [padded[:, :, ky : ky + height, kx : kx + width] for ky in range(3) for kx in range(3)]
    return torch.cat(shifted, dim=4).flatten(1, 3)


def convolve(x: Tensor, weight: Tensor, bias: Tensor, conv: Convolution) -> Tensor:
    """Return the convolution through ReLU: [n, R, H*W*C], [n, O, 9*C], [n, O] -> [n, R, H*W*O]."""
    out = plain.forward(patches(x, conv.height, conv.width), weight, bias, relu=True)
    return out.view(*x.shape[:2], conv.size)


def pool(x: Tensor, pool: Pool) -> Tensor:
    """Return the largest of every 2x2 places, NaN if there is one: [n, R, H*W*C] -> [n, R, (H//2)*(W//2)*C]."""
    return _windows(x, pool).amax(5).flatten(2)


def convolve_backward(delta: Tensor, weight: Tensor, activation: Tensor, conv: Convolution) -> Tensor:
    """Return the delta below a convolution, zero where the ReLU of its input was.

    [n, R, H*W*O], [n, O, 9*C], [n, R, H*W*C] -> [n, R, H*W*C].
    """
    mirrored = weight.view(*weight.shape[:2], 9, conv.channels).flip(2).transpose(1, 2).flatten(1, 2)
    below = torch.bmm(patches(delta, conv.height, conv.width), mirrored)
    return plain.select(activation > 0, below.view(activation.shape))


def unpool(delta: Tensor, activation: Tensor, pool: Pool) -> Tensor:
    """Return the delta of a pool's input: the pool's at the first maximum of each window, if that is above 0.

    [n, R, (H//2)*(W//2)*C], [n, R, H*W*C] -> [n, R, H*W*C].
    """
    windows = _windows(activation, pool)
    first = windows.argmax(5, keepdim=True)
    hit = (torch.arange(4, device=first.device) == first) & (windows > 0)
    chosen = plain.select(hit, delta.view(windows.shape[:5])[..., None].expand(windows.shape))
    out = torch.zeros_like(activation)
    _even(out, pool).copy_(chosen.view(*chosen.shape[:5], 2, 2).permute(0, 1, 2, 5, 3, 6, 4))
    return out


def convolution_gradients(delta: Tensor, x: Tensor, conv: Convolution) -> tuple[Tensor, Tensor]:
    """Return the gradients of weights [n, O, 9*C] and biases [n, O]: [n, R, H*W*O], [n, R, H*W*C]."""
    of_places = _maps(delta, conv.height, conv.width).flatten(1, 3)
    return plain.gradients(of_places, patches(x, conv.height, conv.width))


def _maps(x: Tensor, height: int, width: int) -> Tensor:
    return x.view(*x.shape[:2], height, width, -1)


def _even(x: Tensor, pool: Pool) -> Tensor:
    """Return a view of the places that a pool reads, [n, R, H//2, 2, W//2, 2, C]."""
    high, wide = pool.height // 2, pool.width // 2
    read = _maps(x, pool.height, pool.width)[:, :, : 2 * high, : 2 * wide]
    return read.view(*x.shape[:2], high, 2, wide, 2, pool.channels)


def _windows(x: Tensor, pool: Pool) -> Tensor:
    """Return the windows of a pool, their places in row-major order, [n, R, H//2, W//2, C, 4]."""
    return _even(x, pool).permute(0, 1, 2, 4, 6, 3, 5).flatten(5)
