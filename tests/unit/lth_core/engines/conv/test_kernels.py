"""The parts of a step against autograd in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core.determinism import pin
from lth_core.engines.conv import kernels


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def channels_last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("num", [1, 5])
@pytest.mark.parametrize("inputs", [1, 3, kernels.MIN_GEMM_CHANNELS, 21])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 4), (8, 8)])
def test_gradients_of_a_convolution_are_those_of_autograd(num: int, inputs: int, size: tuple[int, int]):
    pin(1)
    maps, weight = draw(num, inputs, *size, seed=1), draw(6, 3, 3, inputs, seed=2)
    bias, delta = draw(6, seed=3), draw(num, 6, *size, seed=4)
    exact = [part.double().requires_grad_() for part in (maps, weight, bias)]
    outputs = F.conv2d(exact[0], exact[1].permute(0, 3, 1, 2), exact[2], padding=1)
    wanted = torch.autograd.grad(outputs, exact, delta.double())

    maps, delta, by_weight, by_bias = (
        channels_last(maps),
        channels_last(delta),
        torch.empty_like(weight),
        torch.empty(6),
    )
    kernels.WeightGradient().write(delta, maps, weight, by_weight)
    kernels.bias_gradient(delta, by_bias)
    found = [kernels.input_gradient(delta, maps, weight), by_weight, by_bias]
    assert torch.allclose(kernels.convolve(maps, weight, bias).double(), outputs.detach(), atol=1e-4)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one.double(), other, atol=1e-4)


def test_a_weight_gradient_leaves_no_trace_in_the_next_one():
    writer, weight = kernels.WeightGradient(), torch.zeros(4, 3, 3, 16)
    first, second = torch.empty_like(weight), torch.empty_like(weight)
    maps, delta = channels_last(draw(3, 16, 5, 5, seed=1)), channels_last(draw(3, 4, 5, 5, seed=2))
    writer.write(delta, maps, weight, first)
    writer.write(channels_last(draw(3, 4, 5, 5, seed=3)), channels_last(draw(3, 16, 5, 5, seed=4)), weight, second)
    assert not torch.equal(first, second)
    writer.write(delta, maps, weight, second)
    assert torch.equal(first, second)


@pytest.mark.parametrize("size", [(2, 2), (5, 4), (8, 7)])
def test_relu_behind_the_pooling_is_relu_before_it_in_both_directions(size: tuple[int, int]):
    maps = channels_last(draw(4, 3, *size, seed=5) - 0.7)
    delta = channels_last(draw(4, 3, size[0] // 2, size[1] // 2, seed=6))
    exact = maps.clone().requires_grad_()
    wanted = F.max_pool2d(F.relu(exact), 2)
    (by_maps,) = torch.autograd.grad(wanted, exact, delta)
    assert (wanted == 0).any()
    assert (wanted > 0).any()

    pooled, places = kernels.pool(maps)
    assert torch.equal(pooled, wanted)
    kernels.relu_backward_(delta, pooled)
    assert torch.equal(kernels.pool_backward(delta, maps, places), by_maps)


@pytest.mark.parametrize("num_inputs", [1, kernels.INPUT_BLOCK, kernels.INPUT_BLOCK + 5])
def test_the_gradient_by_features_is_a_product_with_all_weights(num_inputs: int):
    delta, weight = draw(4, 7, seed=1), draw(7, num_inputs, seed=2)
    assert torch.allclose(kernels.features_gradient(delta, weight), delta @ weight, atol=1e-5)
