"""The parts of a step in plain torch, for any number of slots at once: the reference of every kernel beside it.

Shapes: n slots, R examples each, F inputs, H outputs, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lth_core.engines.pack.shape import OptimizerKind
from lth_core.optimizers import ADAM_BETAS, ADAM_EPSILON


def select(chosen: Tensor, values: Tensor) -> Tensor:
    """Return values where chosen and exactly 0 elsewhere, whatever stands there: a product would keep NaN alive."""
    return values.masked_fill(~chosen, 0.0)


def take(images: Tensor, scales: Tensor, table: Tensor, pixels: int, index: Tensor) -> Tensor:
    """Return examples normalised, float32 [n, R, F].

    Args:
        images: uint8 [N, F].
        scales: Factor of each image, float32 [N].
        table: float32 [channels, 256].
        pixels: Features of one channel.
        index: Which examples, int32 [n, R].
    """
    raw = images.index_select(0, index.reshape(-1)).view(*index.shape, -1).int()
    channel = torch.arange(raw.shape[-1], device=raw.device, dtype=torch.int32).div_(pixels, rounding_mode="floor")
    values = table.reshape(-1).index_select(0, (raw + channel * 256).reshape(-1)).view(raw.shape)
    return values * scales.index_select(0, index.reshape(-1)).view(*index.shape, 1)


def forward(x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool) -> Tensor:
    """Return x W^T + b, through ReLU where asked: [n, R, F], [n, H, F], [n, H] -> [n, R, H]."""
    out = torch.baddbmm(bias[:, None, :], x, weight.transpose(1, 2))
    return out.masked_fill(out < 0, 0.0) if relu else out


def loss(logits: Tensor, labels: Tensor, smoothing: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return softmax cross entropy summed over examples, its delta at their mean, and how many are correct.

    Args:
        logits: [n, R, C].
        labels: int32 [n, R].
        smoothing: Label smoothing, [n].
        valid: Which examples count, bool [R]; the mean is over all R.

    Returns:
        Summed losses [n], deltas [n, R, C] and counts int32 [n].
    """
    num_rows, num_classes = logits.shape[1:]
    hit = torch.arange(num_classes, device=logits.device, dtype=torch.int32) == labels[:, :, None]
    top = logits.amax(2, keepdim=True)
    shifted = logits - top
    powers = shifted.exp()
    total = powers.sum(2, keepdim=True)
    log_p = shifted - total.log()
    soft = smoothing[:, None, None]
    target = select(hit, (1 - soft).expand(hit.shape)) + soft / num_classes
    picked = select(hit, log_p).sum(2)
    rows = -((1 - soft[:, :, 0]) * picked + soft[:, :, 0] / num_classes * log_p.sum(2))
    delta = select(valid[:, None], (powers / total - target) / num_rows)
    right = (logits.argmax(2) == labels) & valid
    return select(valid, rows).sum(1), delta, right.sum(1, dtype=torch.int32)


def backward(delta: Tensor, weight: Tensor, activation: Tensor) -> Tensor:
    """Return the delta below a layer, zero where its ReLU was: [n, R, H], [n, H, F], [n, R, F] -> [n, R, F]."""
    return select(activation > 0, torch.bmm(delta, weight))


def gradients(delta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of weights [n, H, F] and biases [n, H]."""
    return torch.bmm(delta.transpose(1, 2), x), delta.sum(1)


def update(
    kind: OptimizerKind,
    weights: Tensor,
    gradient: Tensor,
    moments: list[Tensor],
    rates: Tensor,
    decay: Tensor,
    momentum: Tensor,
) -> tuple[Tensor, list[Tensor]]:
    """Return weights and moments after one update.

    Args:
        kind: The optimizer.
        weights: [n, P].
        gradient: [n, P], 0 at pruned weights.
        moments: As many of [n, P] as the optimizer has.
        rates: Rate, root and what decay leaves, [n, 3].
        decay: Coupled weight decay, [n].
        momentum: [n].
    """
    rate, root, left = (rates[:, i : i + 1] for i in range(3))
    w = weights * left
    g = torch.where(decay[:, None] != 0, gradient + decay[:, None] * w, gradient)
    if kind == "sgd":
        return w - rate * g, []
    if kind == "momentum":
        buffer = momentum[:, None] * moments[0] + g
        return w - rate * buffer, [buffer]
    beta1, beta2 = ADAM_BETAS
    mean = moments[0] + (1 - beta1) * (g - moments[0])
    square = beta2 * moments[1] + (1 - beta2) * g * g
    return w - rate * (mean / (square.sqrt() / root + ADAM_EPSILON)), [mean, square]
