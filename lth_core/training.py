"""Training of one network under one mask: always to the end, evaluated on the way, the test set left alone.

Validation is measured at the start, every `eval_every` steps and at the end; the test set at the start, at the
step of the lowest validation loss and at the end only, unless the whole test curve is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core.curves import Curves, Point
from lth_core.data import Split, TensorData, epoch_batches, split
from lth_core.errors import NonFiniteError
from lth_core.evaluation import Score, evaluate
from lth_core.expansion import LineageSpec
from lth_core.masks import Mask
from lth_core.models import FlatNetwork, KeepBits
from lth_core.optimizers import build_optimizer
from lth_core.pulse import Pulse
from lth_core.schedules import learning_rate
from lth_core.weights import Weights


@dataclass(frozen=True)
class Trained:
    """What one training leaves behind.

    Attributes:
        start: Weights as the first step found them.
        recorded: Weights after `record_at` updates, None if that step was not asked for.
        final: Weights after the last update.
        curves: Every evaluation, the test columns filled where the test set was read.
        validation_sha256: Digest of the validation indices.
    """

    start: Weights
    recorded: Weights | None
    final: Weights
    curves: Curves
    validation_sha256: str


def train(
    lineage: LineageSpec,
    data: TensorData,
    start: Weights,
    mask: Mask | None,
    *,
    first_step: int,
    record_at: int | None,
    pulse: Pulse,
) -> Trained:
    """Train from `start` under a mask, from step `first_step` to the last, with fresh optimizer state.

    Steps are absolute: the schedule and the order of the data are those of a training that began at step 0.

    Args:
        lineage: Network, recipe and replicate.
        data: The data set, on the device that trains.
        start: Weights before the first step; pruned entries are set to zero here.
        mask: What is kept; None trains the dense network.
        first_step: Updates that count as done.
        record_at: Step whose weights are wanted beside the final ones.
        pulse: Hears of every step, and may end the training.

    Raises:
        NonFiniteError: If a loss or a weight is not finite.
        LevelCancelled: If the caller asked to stop.
    """
    recipe = lineage.train
    net = FlatNetwork(lineage.model, lineage.in_shape, lineage.num_classes, data.device)
    keep = None if mask is None else KeepBits(mask, net.tensors, data.device)
    net.load(start)
    if keep is not None:
        keep.apply_(net.vector)
    began = net.read()
    optimizer = build_optimizer(recipe, net.vector)
    parts = split(data.info.num_train, lineage.replicate)
    judge = _Judge(lineage, data, net, parts, pulse)
    judge.look(first_step, learning_rate(recipe, first_step), train=None)
    recorded = began if record_at == first_step else None
    gradient = torch.empty_like(net.vector)
    one = torch.ones((), device=data.device)
    window = _Window()

    examples = batches(data, parts, lineage.replicate, recipe.batch_size, first_step)
    for step, (images, labels) in zip(range(first_step, recipe.steps), examples, strict=False):
        logits = net.network(images)
        loss = F.cross_entropy(logits, labels)
        gradients = torch.autograd.grad(loss, net.parameters, one)
        torch.cat([part.reshape(-1) for part in gradients], out=gradient)
        if keep is not None:
            keep.apply_(gradient)
        rate = learning_rate(recipe, step)
        optimizer.step(gradient, rate)
        if keep is not None:
            keep.apply_(net.vector)
        window.add(loss, logits, labels)
        done = step + 1
        pulse.beat(done)
        if done == record_at:
            recorded = net.read()
        if done % recipe.eval_every == 0 or done == recipe.steps:
            judge.look(done, rate, train=window.take(done))

    if not bool(torch.isfinite(net.vector).all()):
        raise NonFiniteError(recipe.steps, "weight")
    final = net.read()
    judge.read_test_set()
    return Trained(began, recorded, final, judge.curves, parts.validation_sha256)


def batches(
    data: TensorData, parts: Split, replicate: int, batch_size: int, first_step: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images and labels of every step from `first_step` on, without end."""
    per_epoch = len(parts.fit) // batch_size
    epoch, position = divmod(first_step, per_epoch)
    while True:
        order = torch.from_numpy(epoch_batches(parts, replicate, epoch, batch_size)).to(data.device)
        for chosen in order[position:].unbind():
            yield data.train_images.index_select(0, chosen), data.train_labels.index_select(0, chosen)
        epoch, position = epoch + 1, 0


class _Window:
    """Loss and accuracy of the training batches since the last evaluation, read from the device once in a while."""

    MAX_PENDING = 500

    def __init__(self) -> None:
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []
        self._loss = 0.0
        self._num_steps = self._num_correct = self._num_examples = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        self._pending.append((loss.detach(), logits.detach(), labels))
        if len(self._pending) == self.MAX_PENDING:
            self._settle()

    def take(self, step: int) -> Score:
        """Return the means and begin anew."""
        self._settle()
        score = Score(self._loss / self._num_steps, self._num_correct / self._num_examples)
        if not math.isfinite(score.loss):
            raise NonFiniteError(step, "training loss")
        self._loss = 0.0
        self._num_steps = self._num_correct = self._num_examples = 0
        return score

    def _settle(self) -> None:
        if not self._pending:
            return
        losses, logits, labels = zip(*self._pending, strict=True)
        wanted = torch.cat(labels)
        self._loss += float(torch.stack(losses).sum(dtype=torch.float64))
        self._num_correct += int((torch.cat(logits).argmax(1) == wanted).sum())
        self._num_steps += len(losses)
        self._num_examples += len(wanted)
        self._pending.clear()


class _Judge:
    """Evaluates a network while it trains, and keeps a copy of the weights at the lowest validation loss so far."""

    def __init__(self, lineage: LineageSpec, data: TensorData, net: FlatNetwork, parts: Split, pulse: Pulse) -> None:
        chosen = torch.from_numpy(parts.validation).to(data.device)
        self._validation = data.train_images.index_select(0, chosen), data.train_labels.index_select(0, chosen)
        self._test = data.test_images, data.test_labels
        self._whole_test_curve = lineage.train.test_curve
        self._net = net
        self._best = net.vector.clone()
        self._pulse = pulse
        self.curves = Curves()

    def look(self, step: int, lr: float, *, train: Score | None) -> None:
        """Take one point of the curves."""
        beat = self._beat_at(step)
        validation = evaluate(self._net.network, *self._validation, beat=beat)
        if not math.isfinite(validation.loss):
            raise NonFiniteError(step, "validation loss")
        at_start = not self.curves.points
        reads_test = at_start or self._whole_test_curve
        test = evaluate(self._net.network, *self._test, beat=beat) if reads_test else None
        if self.curves.add(Point(step, lr, train, validation, test)):
            self._best.copy_(self._net.vector)
        self._pulse.speak(step)

    def read_test_set(self) -> None:
        """Read the test set at the end and, on the copied weights, at the lowest validation loss."""
        beat = self._beat_at(self.curves.end.step)
        if self.curves.end.test is None:
            self.curves.end.test = evaluate(self._net.network, *self._test, beat=beat)
        if self.curves.early_stop.test is None:
            self._net.vector.copy_(self._best)
            self.curves.early_stop.test = evaluate(self._net.network, *self._test, beat=beat)

    def _beat_at(self, step: int) -> Callable[[], None]:
        return lambda: self._pulse.beat(step)
