"""torchvision's classification models, made deterministic: the one place that imports torchvision, and only if asked.

Dropout and stochastic depth draw by counters, auxiliary classifiers are off, and adaptive pooling to more than one
position, whose backward pass is not deterministic on a GPU, is two products of matrices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lth_core.dropout import CounterDropout

WITH_AUXILIARY = ("googlenet", "inception_v3")


def build_torchvision(arch: str, in_shape: tuple[int, ...], num_classes: int, dropout_key: int | None) -> nn.Module:
    """Build a model of the installed torchvision by its name.

    Args:
        arch: Its name there, such as `mobilenet_v2`.
        in_shape: Shape of one example, channels first.
        num_classes: Size of the output layer.
        dropout_key: Seed of dropout and stochastic depth; None for a network that is only evaluated, which has none.

    Raises:
        ValueError: If the installed torchvision has no such model.
        ImportError: If torchvision is not installed.
    """
    from torchvision import models
    from torchvision.ops import StochasticDepth

    if arch not in models.list_models(module=models):
        raise ValueError(f"the installed torchvision has no classification model {arch!r}")
    options: dict[str, Any] = {"weights": None, "num_classes": num_classes}
    if arch in WITH_AUXILIARY:
        options.update(aux_logits=False, init_weights=False)
    elif arch.startswith("vit_"):
        options["image_size"] = in_shape[1]
    elif arch.startswith("maxvit_"):
        options["input_size"] = in_shape[1:]
    network: nn.Module = models.get_model(arch, **options)
    layer = 0
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Dropout | StochasticDepth):
            drops = dropout_key is not None and module.p > 0
            _replace(network, name, _by_counters(module, dropout_key or 0, layer) if drops else nn.Identity())
            layer += 1
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            _replace(network, name, MeanPool(_sides(module.output_size)))
    return network


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)


def _by_counters(module: Any, key: int, layer: int) -> nn.Module:
    if isinstance(module, nn.Dropout):
        return CounterDropout(module.p, key, layer)
    return CounterDepth(module.p, key, layer, whole_batch=module.mode == "batch")


def _sides(output_size: Any) -> tuple[int, int]:
    height, width = output_size if isinstance(output_size, tuple) else (output_size, output_size)
    return int(height), int(width)


class CounterDepth(nn.Module):
    """Stochastic depth by counters: while training, the branch of each example is 0 with probability `p`.

    What stays is divided by 1 - p. The draw for an example is that of `CounterDropout` for its place in the batch.

    Args:
        p: Share of the examples whose branch falls out, in [0, 1).
        key: 64-bit seed, of purpose "dropout".
        layer: Number of the layer within the network.
        whole_batch: Whether all examples of a batch share one draw.

    References:
        Huang et al. 2016, arXiv:1603.09382.
    """

    def __init__(self, p: float, key: int, layer: int, *, whole_batch: bool) -> None:
        super().__init__()
        self.draw = CounterDropout(p, key, layer)
        self.whole_batch = whole_batch

    def forward(self, x: Tensor) -> Tensor:
        """Return the branch [N, ...] with some of its examples zeroed."""
        if not self.training:
            return x
        num = 1 if self.whole_batch else len(x)
        drawn: Tensor = self.draw(x.new_ones((num,) + (1,) * (x.dim() - 1)))
        return x * drawn


class MeanPool(nn.Module):
    """Adaptive average pooling, deterministic in both directions: a mean, or a product with averaging matrices.

    Output row i is the mean of the input rows floor(i n / m) to ceil((i + 1) n / m) - 1, of n rows to m; columns too.

    Args:
        sides: Height and width of the output.
    """

    def __init__(self, sides: tuple[int, int]) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        """Return the means [N, C, *sides] of [N, C, H, W]."""
        if self.sides == (1, 1):
            return x.mean((2, 3), keepdim=True)
        rows, columns = (_averages(n, m, x) for n, m in zip(x.shape[2:], self.sides, strict=True))
        return rows @ x @ columns.T


def _averages(num_in: int, num_out: int, like: Tensor) -> Tensor:
    """Return the matrix [num_out, num_in] whose rows average the inputs of each output."""
    matrix = torch.zeros(num_out, num_in)
    for i in range(num_out):
        first, end = i * num_in // num_out, -(-(i + 1) * num_in // num_out)
        matrix[i, first:end] = 1 / (end - first)
    return matrix.to(like)
