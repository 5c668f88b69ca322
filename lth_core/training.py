"""Training of one network under one mask: always to the end, the same bits for the same start, mask and streams.

What leaves a weight under a mask stays away from it: pruned positions are zero (or held at their start value) in the
weights after every update, and zero in the gradient and in the optimizer's state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core import random
from lth_core.augmentation import Augmentation, fill_values
from lth_core.curves import Curves
from lth_core.data import TensorData, batches, split
from lth_core.errors import NonFiniteError
from lth_core.expansion import LineageSpec
from lth_core.gradual import Tightening
from lth_core.masks import Mask
from lth_core.measuring import Judge, Window
from lth_core.models import FlatNetwork, KeepBits
from lth_core.optimizers import Optimizer, OptimizerState, build_optimizer, load_state, moments, read_state
from lth_core.pulse import Pulse
from lth_core.schedules import learning_rate
from lth_core.streams import Streams
from lth_core.weights import Weights

DEFAULT_STREAMS = Streams()


@dataclass(frozen=True)
class Trained:
    """What one training leaves behind.

    Attributes:
        start: Weights as the first step found them, before anything tightened.
        recorded: Weights after `record_at` updates, None if that step was not asked for.
        final: Weights after the last update.
        curves: Every evaluation, the test columns filled where the test set was read.
        validation_sha256: Digest of the validation indices.
        recorded_optimizer: The optimizer's state after `record_at` updates, None if it was not asked for.
        mask: What was kept at the end; None for the dense network.
    """

    start: Weights
    recorded: Weights | None
    final: Weights
    curves: Curves
    validation_sha256: str
    recorded_optimizer: OptimizerState | None = None
    mask: Mask | None = None


def train(
    lineage: LineageSpec,
    data: TensorData,
    start: Weights,
    mask: Mask | None,
    *,
    first_step: int,
    record_at: int | None,
    pulse: Pulse,
    held: bool = False,
    tightening: Tightening | None = None,
    optimizer_state: OptimizerState | None = None,
    record_optimizer: bool = False,
    rate: Callable[[int], float] | None = None,
    streams: Streams = DEFAULT_STREAMS,
) -> Trained:
    """Train from `start` under a mask, from step `first_step` to the last.

    Steps are absolute: the schedule and the order of the data are those of a training that began at step 0, and so
    are augmentation and dropout. Label smoothing enters the loss that is minimised, never one that judges. Batch norm
    learns its statistics from training batches and is judged by them.

    Args:
        lineage: Network, recipe and replicate.
        data: The data set, on the device that trains.
        start: Weights and buffers before the first step; pruned entries are set to zero here, unless they are held.
        mask: What is kept; None trains the dense network.
        first_step: Updates that count as done.
        record_at: Step whose weights are wanted beside the final ones.
        pulse: Hears of every step, and may end the training.
        held: Leave pruned entries at their start value instead of zero, without gradient, decay or momentum.
        tightening: Prunes further while training; early stop then looks only at the network that is pruned to its end.
        optimizer_state: What the optimizer remembers at the first step, pruned entries set to zero here; None begins
            afresh.
        record_optimizer: Whether the optimizer's state at `record_at` is wanted too.
        rate: Learning rate of a step, instead of the recipe's schedule.
        streams: Purposes of the seeds that order and augment the data.

    Raises:
        NonFiniteError: If a loss or a weight is not finite.
        LevelCancelled: If the caller asked to stop.
        ValueError: If weights, mask or the optimizer's state do not fit the network, or a training that tightens is
            asked to hold pruned entries.
    """
    if held and tightening is not None:
        raise ValueError("tightening must be None where pruned entries are held")
    recipe = lineage.train
    rate = rate or (lambda step: learning_rate(recipe, step))
    net = FlatNetwork(
        lineage.model,
        lineage.in_shape,
        lineage.num_classes,
        data.device,
        dropout_key=random.seed_key(lineage.replicate, "dropout"),
    )
    net.load(start)
    optimizer = build_optimizer(recipe, net.vector)
    if optimizer_state is not None:
        load_state(optimizer, optimizer_state)
    keep = _Keep(net, optimizer, mask, held)
    began = net.read()
    parts = split(data.info.num_train, lineage.replicate)
    judge = Judge(lineage, data, net, parts, pulse)
    judge.look(first_step, rate(first_step), train=None)
    if tightening is not None and tightening.is_due(first_step):
        keep = keep.tighter(tightening.mask_after(first_step, keep.mask, began))
    recorded = began if record_at == first_step else None
    recorded_optimizer = read_state(optimizer) if record_optimizer and record_at == first_step else None
    gradient = torch.empty_like(net.vector)
    one = torch.ones((), device=data.device)
    window = Window()

    examples = batches(
        data,
        parts,
        lineage.replicate,
        recipe.batch_size,
        first_step,
        order=streams.order,
        augmentation=_augmentation(lineage, data, streams),
    )
    for step, (images, labels) in zip(range(first_step, recipe.steps), examples, strict=False):
        net.at_step(step)
        logits = net.network(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        gradients = torch.autograd.grad(loss, net.parameters, one)
        torch.cat([part.reshape(-1) for part in gradients], out=gradient)
        keep.mask_gradient(gradient)
        lr = rate(step)
        optimizer.step(gradient, lr)
        keep.mask_weights()
        window.add(loss, logits, labels)
        done = step + 1
        pulse.beat(done)
        if tightening is not None and tightening.is_due(done):
            keep = keep.tighter(tightening.mask_after(done, keep.mask, net.read()))
        if done == record_at:
            recorded = net.read()
            recorded_optimizer = read_state(optimizer) if record_optimizer else None
        if done % recipe.eval_every == 0 or done == recipe.steps:
            settled = tightening is None or done >= tightening.end_step
            judge.look(done, lr, train=window.take(done), counts=settled)

    if not bool(torch.isfinite(net.vector).all()):
        raise NonFiniteError(recipe.steps, "weight")
    final = net.read()
    judge.read_test_set()
    return Trained(began, recorded, final, judge.curves, parts.validation_sha256, recorded_optimizer, keep.mask)


def _augmentation(lineage: LineageSpec, data: TensorData, streams: Streams) -> Augmentation | None:
    recipe = lineage.train
    if not recipe.flip and not recipe.crop_padding:
        return None
    key = random.seed_key(lineage.replicate, streams.augment)
    return Augmentation(recipe.flip, recipe.crop_padding, key, fill_values(data.normalisation))


class _Keep:
    """A mask at work: applied to the weights as they begin, then to every gradient and after every update.

    Making one sets pruned entries of the weights to zero (or holds them) and of the optimizer's state to zero.
    """

    def __init__(self, net: FlatNetwork, optimizer: Optimizer, mask: Mask | None, held: bool) -> None:
        self.mask = mask
        self._net, self._optimizer = net, optimizer
        self._bits = None if mask is None else KeepBits(mask, net.tensors, net.vector.device)
        self._held: Tensor | None = None
        if self._bits is None:
            return
        if held:
            kept = net.vector.clone()
            self._bits.apply_(kept)
            self._held = net.vector.view(torch.int32) ^ kept.view(torch.int32)  # the float bits of what is held, else 0
        self.mask_weights()
        self._forget()

    def mask_gradient(self, gradient: Tensor) -> None:
        """Set pruned entries of a gradient to zero."""
        if self._bits is not None:
            self._bits.apply_(gradient)

    def mask_weights(self) -> None:
        """Set pruned entries of the weights to zero or back to what they are held at."""
        if self._bits is None:
            return
        self._bits.apply_(self._net.vector)
        if self._held is not None:
            self._net.vector.view(torch.int32).bitwise_or_(self._held)
            self._forget()  # coupled weight decay would leave moments there

    def tighter(self, mask: Mask) -> _Keep:
        """Return the same under a mask that keeps less."""
        return _Keep(self._net, self._optimizer, mask, held=False)

    def _forget(self) -> None:
        if self._bits is not None:
            for moment in moments(self._optimizer):
                self._bits.apply_(moment)
