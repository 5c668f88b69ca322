"""A pack in the manner of HFTA: G replicates in one autograd graph, layers batched over replicates, one optimizer.

Fully connected layers are `baddbmm` over [G, ...], convolutions are grouped; loss and optimizer see all replicates at
once. Written anew after the idea of the paper, so "HFTA-like". Plain networks only.

References:
    Wang et al. 2021, "Horizontally Fused Training Array", arXiv:2102.02344.
"""

from __future__ import annotations

import argparse
from itertools import cycle

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from benchmarks.engine.protocol import AbsentError, Stepper, serve
from benchmarks.engine.work import PARTS, Arrays, Work

EVAL_BATCH = 500


class Pack(Stepper):
    """G replicates of a plain network, trained in lockstep."""

    def __init__(self, work: Work, num_replicates: int) -> None:
        torch.set_num_threads(1)
        self._work, self.num_replicates = work, num_replicates
        self._device = torch.device(work.terms.device)
        self._images = torch.from_numpy(work.array("train_images")).to(self._device)
        self._labels = torch.from_numpy(work.array("train_labels")).to(self._device)
        self._parts = {part: self._part(part) for part in PARTS}
        orders = [torch.from_numpy(work.order(replicate)) for replicate in range(num_replicates)]
        self._order = torch.stack(orders, dim=1).to(self._device)
        self._kinds = {name: kind for name, _, kind in work.terms.layers}

    def begin(self, level: int, evaluate: bool) -> None:
        """See `Stepper.begin`."""
        starts = [self._work.start(replicate) for replicate in range(self.num_replicates)]
        self._weights: dict[str, Tensor] = {}
        for name in self._kinds:
            joined = torch.stack([torch.from_numpy(start[name]) for start in starts])
            self._weights[name] = joined.to(self._device).requires_grad_()
        mask = self._work.mask(level) or {}
        self._masked = [self._weights[name].data for name in mask]
        self._kept = [torch.from_numpy(bits).to(self._device, torch.float32).unsqueeze(0) for bits in mask.values()]
        self._mask_weights()
        self._optimizer = self._fresh_optimizer()
        self._evaluate, self._done = evaluate, 0
        self._best = torch.full((self.num_replicates,), float("inf"), device=self._device)
        self._copies = [weight.detach().clone() for weight in self._weights.values()]
        self._batches = iter(cycle(self._order.unbind()))

    def advance(self, steps: int) -> None:
        """See `Stepper.advance`."""
        for _ in range(steps):
            self._step(next(self._batches))
            self._done += 1
            if self._evaluate and self._done % self._work.eval_every == 0:
                self._look()

    def score_test_set(self) -> None:
        """See `Stepper.score_test_set`."""
        self._score("test")

    def weights(self) -> list[Arrays]:
        """See `Stepper.weights`."""
        arrays = {name: weight.detach().cpu().numpy() for name, weight in self._weights.items()}
        return [{name: array[i].copy() for name, array in arrays.items()} for i in range(self.num_replicates)]

    def synchronise(self) -> None:
        """See `Stepper.synchronise`."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def _step(self, chosen: Tensor) -> None:
        """One update of every replicate; `chosen` is [G, batch]."""
        flat = chosen.reshape(-1)
        images = self._images.index_select(0, flat).unflatten(0, chosen.shape)
        labels = self._labels.index_select(0, flat)
        self._optimizer.zero_grad(set_to_none=True)
        logits = self._forward(images)
        loss = F.cross_entropy(logits.flatten(0, 1), labels, reduction="sum") / self._work.batch_size
        loss.backward()
        self._optimizer.step()
        self._mask_weights()

    def _forward(self, images: Tensor) -> Tensor:
        """Return the logits [G, batch, classes] of [G, batch, C, H, W]."""
        num, batch = images.shape[:2]
        x, num_convs = images, 0
        names = [name.removesuffix(".weight") for name in self._kinds if name.endswith(".weight")]
        if self._kinds[f"{names[0]}.weight"] == "conv":
            x = x.transpose(0, 1).flatten(1, 2)  # [batch, G * C, H, W]
        for name in names:
            weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
            kind = self._kinds[f"{name}.weight"]
            if kind == "conv":
                x = F.relu(F.conv2d(x, weight.flatten(0, 1), bias.flatten(), padding=1, groups=num))
                num_convs += 1
                x = F.max_pool2d(x, 2) if num_convs % 2 == 0 else x
                continue
            if num_convs and x.ndim == 4:
                x = x.reshape(batch, num, -1).transpose(0, 1)
            x = torch.baddbmm(bias.unsqueeze(1), x.reshape(num, batch, -1), weight.transpose(1, 2))
            x = x if kind == "output" else F.relu(x)
        return x

    def _mask_weights(self) -> None:
        if self._masked:
            torch._foreach_mul_(self._masked, self._kept)

    def _fresh_optimizer(self) -> torch.optim.Optimizer:
        train = self._work.terms.train
        parameters = list(self._weights.values())
        if train["optimizer"] == "adam":
            return torch.optim.Adam(parameters, lr=train["lr"], weight_decay=train["weight_decay"], fused=True)
        return torch.optim.SGD(
            parameters, lr=train["lr"], momentum=train["momentum"], weight_decay=train["weight_decay"], fused=True
        )

    def _look(self) -> None:
        losses = self._score("validation")
        better = losses < self._best
        self._best = torch.where(better, losses, self._best)
        for copy, weight in zip(self._copies, self._weights.values(), strict=True):
            copy.copy_(torch.where(better.view(-1, *[1] * (weight.ndim - 1)), weight.detach(), copy))

    @torch.no_grad()
    def _score(self, part: str) -> Tensor:
        images, labels = self._parts[part]
        losses = torch.zeros(self.num_replicates, device=self._device)
        correct = torch.zeros(self.num_replicates, dtype=torch.int64, device=self._device)
        for start in range(0, len(labels), EVAL_BATCH):
            wanted = labels[start : start + EVAL_BATCH].expand(self.num_replicates, -1)
            batch = images[start : start + EVAL_BATCH]
            logits = self._forward(batch.expand(self.num_replicates, *batch.shape))
            losses += F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view_as(wanted).sum(1)
            correct += (logits.argmax(2) == wanted).sum(1)
        losses.sum().item()
        return losses

    def _part(self, part: str) -> tuple[Tensor, Tensor]:
        images, labels = self._work.examples(part)
        return torch.from_numpy(images).to(self._device), torch.from_numpy(labels).to(self._device)


def open_contestant(work: Work, args: argparse.Namespace) -> Pack:
    """Open it.

    Raises:
        AbsentError: If the network is not plain.
    """
    if any(kind in ("norm", "buffer") for _, _, kind in work.terms.layers):
        raise AbsentError("this pack knows networks without normalisation only")
    return Pack(work, args.replicates)


if __name__ == "__main__":
    serve(open_contestant)
