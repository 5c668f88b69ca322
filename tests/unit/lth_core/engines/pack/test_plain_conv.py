"""Convolutions and pools in plain torch are those of torch.nn.functional, forward and backward, slot by slot."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lth_core.engines.pack import plain_conv
from lth_core.engines.pack.stages import Convolution, Layer, Pool

SLOTS, ROWS = 2, 3
SIZES = [(7, 5), (4, 6), (2, 2), (3, 1)]
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def first(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Maps of one slot, channels last in a row, as torch wants them: [R, H*W*C] -> [R, C, H, W]."""
    return x.unflatten(1, (height, width, channels)).permute(0, 3, 1, 2)


def last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(1)


def made(channels: int, outputs: int, height: int, width: int) -> tuple[Convolution, Tensor, Tensor, Tensor]:
    conv = Convolution(Layer(9 * channels, outputs, 0, 9 * channels * outputs), channels, height, width)
    x = drawn(SLOTS, ROWS, height * width * channels).relu()
    return conv, x, drawn(SLOTS, outputs, 9 * channels, seed=1), drawn(SLOTS, outputs, seed=2)


def of_torch(x: Tensor, weight: Tensor, bias: Tensor, conv: Convolution) -> Tensor:
    kernel = weight.unflatten(1, (3, 3, conv.channels)).permute(0, 3, 1, 2)
    return last(functional.conv2d(first(x, conv.channels, conv.height, conv.width), kernel, bias, padding=1))


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("channels", "outputs"), [(3, 5), (1, 1), (33, 2)])
def test_a_convolution_and_its_gradients_are_those_of_autograd(channels, outputs, height, width):
    conv, x, weight, bias = made(channels, outputs, height, width)
    out = plain_conv.convolve(x, weight, bias, conv)
    passed = plain_conv.plain.select(out > 0, drawn(*out.shape, seed=3))
    below = plain_conv.convolve_backward(passed, weight, x, conv)
    of_weight, of_bias = plain_conv.convolution_gradients(passed, x, conv)
    for slot in range(SLOTS):
        leaves = [part[slot].clone().requires_grad_() for part in (x, weight, bias)]
        expected = of_torch(leaves[0], leaves[1], leaves[2], conv).relu()
        torch.testing.assert_close(out[slot], expected, **CLOSE)
        wanted = torch.autograd.grad(expected, leaves, passed[slot])
        torch.testing.assert_close(below[slot], wanted[0].masked_fill(x[slot] <= 0, 0), **CLOSE)
        torch.testing.assert_close(of_weight[slot], wanted[1], **CLOSE)
        torch.testing.assert_close(of_bias[slot], wanted[2], **CLOSE)


@pytest.mark.parametrize(("height", "width"), SIZES[:3])
def test_a_pool_and_its_delta_are_those_of_torch_even_where_maxima_tie(height, width):
    pool = Pool(4, height, width)
    x = drawn(SLOTS, ROWS, height * width * 4).mul(2).round().relu()
    out = plain_conv.pool(x, pool)
    delta = drawn(*out.shape, seed=1)
    found = plain_conv.unpool(delta, x, pool)
    windows = functional.unfold(first(x[0], 4, height, width), 2, stride=2).unflatten(1, (4, 4))
    assert ((windows == windows.amax(2, keepdim=True)).sum(2) > 1).any()
    for slot in range(SLOTS):
        leaf = x[slot].clone().requires_grad_()
        expected = last(functional.max_pool2d(first(leaf, 4, height, width), 2))
        assert torch.equal(out[slot], expected)
        (wanted,) = torch.autograd.grad(expected, leaf, delta[slot])
        assert torch.equal(found[slot], wanted.masked_fill(x[slot] <= 0, 0))


def test_a_nan_goes_through_convolution_and_pool_and_has_no_delta():
    conv, x, weight, bias = made(3, 5, 4, 4)
    x[0, 0, 0] = float("nan")
    out = plain_conv.convolve(x, weight, bias, conv)
    assert out[0, 0].view(4, 4, 5)[:2, :2].isnan().all()
    assert out[1].isfinite().all()
    pooled = plain_conv.pool(out, Pool(5, 4, 4))
    assert torch.equal(pooled[0, 0].view(2, 2, 5)[:, :, 0].isnan(), torch.tensor([[True, False], [False, False]]))
    assert plain_conv.unpool(torch.ones_like(pooled), out, Pool(5, 4, 4)).isfinite().all()


def test_a_network_of_two_convolutions_and_a_pool_has_the_gradients_of_autograd():
    (height, width), (one, x, *first_pair) = (7, 5), made(3, 6, 7, 5)
    two, _, *second_pair = made(6, 4, height, width)
    pool = Pool(4, height, width)
    hidden = plain_conv.convolve(x, first_pair[0], first_pair[1], one)
    out = plain_conv.convolve(hidden, second_pair[0], second_pair[1], two)
    dead = plain_conv.pool(out, pool) == 0
    assert dead.any()
    assert not dead.all()
    delta = plain_conv.unpool(drawn(SLOTS, ROWS, pool.size, seed=5), out, pool)
    found = plain_conv.convolution_gradients(delta, hidden, two)
    found += plain_conv.convolution_gradients(plain_conv.convolve_backward(delta, second_pair[0], hidden, two), x, one)
    for slot in range(SLOTS):
        leaves = [part[slot].clone().requires_grad_() for part in (*second_pair, *first_pair)]
        seen = of_torch(of_torch(x[slot], leaves[2], leaves[3], one).relu(), leaves[0], leaves[1], two).relu()
        pooled = last(functional.max_pool2d(first(seen, 4, height, width), 2))
        wanted = torch.autograd.grad(pooled, leaves, drawn(SLOTS, ROWS, pool.size, seed=5)[slot])
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours[slot], theirs, **CLOSE)


def test_examples_become_channels_last():
    images = drawn(SLOTS, ROWS, 3 * 7 * 5)
    found = plain_conv.channels_last(images, 3, 7, 5)
    assert torch.equal(found.view(SLOTS, ROWS, 7, 5, 3), images.view(SLOTS, ROWS, 3, 7, 5).permute(0, 1, 3, 4, 2))
