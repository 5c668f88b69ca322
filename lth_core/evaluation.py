"""Loss and accuracy of a network on fixed examples, in fixed batches, without randomness and without a trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

EVAL_BATCH_SIZE = 500
"""Part of the numerics: the step of minimum validation loss is decided by last bits."""


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy per example, and the share of examples classified correctly."""

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(network: nn.Module, images: Tensor, labels: Tensor, *, beat: Callable[[], None] | None = None) -> Score:
    """Evaluate a network; every example weighs the same, also in a short last batch.

    The network is in eval mode meanwhile (no dropout, batch norm by its running statistics, which stay as they are)
    and returns to the mode it was in.

    Args:
        network: Module that maps images to logits.
        images: Normalised examples, [N, C, H, W].
        labels: Classes, [N].
        beat: Called after every batch, to show that work goes on.
    """
    was_training = network.training
    network.eval()
    try:
        return _evaluate(network, images, labels, beat)
    finally:
        network.train(was_training)


def _evaluate(network: nn.Module, images: Tensor, labels: Tensor, beat: Callable[[], None] | None) -> Score:
    loss_sum, num_correct = 0.0, 0
    for start in range(0, len(labels), EVAL_BATCH_SIZE):
        wanted = labels[start : start + EVAL_BATCH_SIZE]
        logits = network(images[start : start + EVAL_BATCH_SIZE])
        loss_sum += float(F.cross_entropy(logits, wanted, reduction="sum"))
        num_correct += int((logits.argmax(1) == wanted).sum())
        if beat is not None:
            beat()
    return Score(loss=loss_sum / len(labels), accuracy=num_correct / len(labels))
