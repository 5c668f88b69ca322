"""Scores of weights before any training under a mask: from the weights themselves, or from a few batches of data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses
from torch.nn.attention import SDPBackend, sdpa_kernel

from lth_core.criteria import Scores
from lth_core.data import TensorData, batches, split
from lth_core.expansion import LineageSpec
from lth_core.models import FlatNetwork
from lth_core.weights import Weights

GRASP_TEMPERATURE = 200.0
Batch = tuple[Tensor, Tensor]
"""Images [B, C, H, W] and labels [B]."""
Saliency = Callable[[nn.Module, Sequence[nn.Parameter], Sequence[Batch]], list[Tensor]]


def scores_from_data(saliency: Saliency, lineage: LineageSpec, rewind: Weights, data: TensorData) -> dict[str, Scores]:
    """Score every prunable weight of a network by what a few batches say.

    The batches are the first `prune.score_batches` that training from W_k would see, without augmentation. Batch
    normalisation uses the statistics of the batch; the network is made for this and thrown away, so that running
    statistics stay as they are. Dropout is off.

    Args:
        saliency: `snip` or `grasp`.
        lineage: Network, recipe and replicate.
        rewind: W_k.
        data: The data set, on the device that trains.

    Returns:
        float32 scores by tensor, the largest to be kept.
    """
    net = FlatNetwork(lineage.model, lineage.in_shape, lineage.num_classes, data.device)
    net.load(rewind)
    net.network.eval()
    for module in net.network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    named = dict(net.network.named_parameters())
    prunable = [tensor for tensor in net.tensors if tensor.prunable]
    parts = split(data.info.num_train, lineage.replicate)
    examples = batches(data, parts, lineage.replicate, lineage.train.batch_size, lineage.rewind.step)
    chosen = [batch for batch, _ in zip(examples, range(lineage.prune.score_batches), strict=False)]
    scores = saliency(net.network, [named[tensor.name] for tensor in prunable], chosen)
    return {
        tensor.name: np.ascontiguousarray(score.detach().cpu().numpy())
        for tensor, score in zip(prunable, scores, strict=True)
    }


def snip(network: nn.Module, weights: Sequence[nn.Parameter], batches: Sequence[Batch]) -> list[Tensor]:
    """Return |w dL/dw|, the connection sensitivity, with the gradient summed over the batches.

    L is the mean cross-entropy of a batch. The published score divides by the sum over all weights, which changes no
    order.

    References:
        Lee et al. 2019, "SNIP: single-shot network pruning based on connection sensitivity", arXiv:1810.02340,
        equations 4 to 6.
    """
    summed = [torch.zeros_like(weight) for weight in weights]
    for images, labels in batches:
        gradients = _gradients(F.cross_entropy(network(images), labels), weights)
        summed = [total + gradient for total, gradient in zip(summed, gradients, strict=True)]
    return [(weight * gradient).abs() for weight, gradient in zip(weights, summed, strict=True)]


def grasp(network: nn.Module, weights: Sequence[nn.Parameter], batches: Sequence[Batch]) -> list[Tensor]:
    """Return w (H g), the negative of GraSP's S = -w (H g), whose largest values are the ones to remove.

    L is the mean cross-entropy of a batch with the logits divided by 200; g is the gradient of the sum of L over the
    batches and H its Hessian, both with respect to the prunable weights alone. H g is the gradient of the inner
    product of the gradient with the constant g.

    References:
        Wang et al. 2020, "Picking winning tickets before training by preserving gradient flow", arXiv:2002.07376,
        equation 8 and algorithm 1.
    """

    def loss(batch: Batch) -> Tensor:
        images, labels = batch
        return F.cross_entropy(network(images) / GRASP_TEMPERATURE, labels)

    flow = [torch.zeros_like(weight) for weight in weights]
    bent = [torch.zeros_like(weight) for weight in weights]
    with sdpa_kernel(SDPBackend.MATH):  # the fused forms of attention have no second derivative
        for batch in batches:
            gradients = _gradients(loss(batch), weights)
            flow = [total + gradient for total, gradient in zip(flow, gradients, strict=True)]
        for batch in batches:
            gradients = _gradients(loss(batch), weights, create_graph=True)
            inner = torch.stack([(a * b).sum() for a, b in zip(gradients, flow, strict=True)]).sum()
            products = _gradients(inner, weights)
            bent = [total + product for total, product in zip(bent, products, strict=True)]
    return [weight * product for weight, product in zip(weights, bent, strict=True)]


def _gradients(value: Tensor, weights: Sequence[nn.Parameter], *, create_graph: bool = False) -> tuple[Tensor, ...]:
    """Return the derivatives of a value; weights that it does not depend on have zeros."""
    return torch.autograd.grad(
        value, list(weights), create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
