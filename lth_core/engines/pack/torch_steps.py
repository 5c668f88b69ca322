"""Steps of plain networks in plain torch: all slots at once by batched products, or one after the other.

One after the other is the meaning of the kernels of `triton_steps`: each slot's arithmetic is a call of its own, on a
row that begins at the same alignment, so that nothing of the pack can enter it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lth_core.engines.base import Plan
from lth_core.engines.pack import plain, plain_conv
from lth_core.engines.pack.moments import FullMoments, Moments
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.shape import PackShape
from lth_core.engines.pack.source import Source, training_source
from lth_core.engines.pack.stages import Convolution, Layer, Pool, Stage, layers_of
from lth_core.engines.pack.state import Clock, PackState
from lth_core.engines.pack.steps import Stretch
from lth_core.engines.pack.survivors import SurvivorMoments


class TorchSteps:
    """The interface is `lth_core.engines.pack.steps.Steps`.

    Args:
        shape: What the slots have in common; variant "bmm" takes them all at once.
        state: Their state.
        data: The data set.
    """

    def __init__(self, shape: PackShape, state: PackState, data: ResidentData) -> None:
        self.max_steps = state.order.shape[1]
        self._stages, self._in_shape = shape.stages(), shape.in_shape
        self._together = shape.variant == "bmm"
        self.moments: Moments = (
            FullMoments(shape.optimizer, state)
            if self._together
            else SurvivorMoments(shape.optimizer, state, layers_of(self._stages))
        )
        self._state, self._data = state, data
        self._source = training_source(data, state.order)

    def admit(self, slot: int, plan: Plan) -> None:
        """Nothing beside the state belongs to a slot."""

    def ready(self, position: int, stretches: Sequence[Stretch]) -> None:
        """Nothing beside the state is read."""

    @torch.no_grad()
    def train(self) -> None:
        """Take one step with every slot whose clock runs."""
        for slots in self._groups(self._state.clock):
            self._train(slots)
        self._state.clock.tick()

    @torch.no_grad()
    def judge(self, source: Source, clock: Clock) -> None:
        """Evaluate one batch."""
        for slots in self._groups(clock):
            index, labels, valid = source.batch(clock, slots)
            logits = self._forward(source, index, slots)[-1]
            losses, _, correct = plain.loss(logits, labels, torch.zeros_like(logits[:, 0, 0]), valid)
            clock.note(losses, correct, slots)
        clock.tick()

    def _groups(self, clock: Clock) -> list[slice]:
        if self._together:
            return [slice(None)]
        return [slice(slot, slot + 1) for slot in clock.running()]

    def _train(self, slots: slice) -> None:
        state = self._state
        index, labels, valid = self._source.batch(state.clock, slots)
        seen = self._forward(self._source, index, slots)
        losses, delta, correct = plain.loss(seen[-1], labels, state.smoothing[slots], valid)
        gradient = torch.zeros_like(state.weights[slots])
        for stage, x in reversed(list(zip(self._stages, seen[:-1], strict=True))):
            self._differentiate(stage, delta, x, gradient)
            if stage is not self._stages[0]:
                delta = self._below(stage, delta, x, state.weights[slots])
        self.moments.update(gradient, slots)
        state.clock.note(losses / self._source.num_rows, correct, slots)

    def _forward(self, source: Source, index: Tensor, slots: slice) -> list[Tensor]:
        """Return what every stage reads, and the logits at the end, each [n, R, size]."""
        x = plain.take(source.images, source.scales, self._data.table, self._data.pixels, index)
        if isinstance(self._stages[0], Convolution):
            x = plain_conv.channels_last(x, *self._in_shape)
        seen, rows = [x], self._state.weights[slots]
        for stage in self._stages:
            if isinstance(stage, Pool):
                seen.append(plain_conv.pool(seen[-1], stage))
            elif isinstance(stage, Convolution):
                seen.append(plain_conv.convolve(seen[-1], *views(rows, stage.layer), stage))
            else:
                seen.append(plain.forward(seen[-1], *views(rows, stage), relu=stage is not self._stages[-1]))
        return seen

    @staticmethod
    def _differentiate(stage: Stage, delta: Tensor, x: Tensor, gradient: Tensor) -> None:
        """Write the gradients of a stage's weights and biases."""
        if isinstance(stage, Pool):
            return
        if isinstance(stage, Convolution):
            layer, found = stage.layer, plain_conv.convolution_gradients(delta, x, stage)
        else:
            layer, found = stage, plain.gradients(delta, x)
        for view, part in zip(views(gradient, layer), found, strict=True):
            view.copy_(part.contiguous())

    @staticmethod
    def _below(stage: Stage, delta: Tensor, x: Tensor, rows: Tensor) -> Tensor:
        """Return the delta below a stage, zero where what it reads is not above 0."""
        if isinstance(stage, Pool):
            return plain_conv.unpool(delta, x, stage)
        if isinstance(stage, Convolution):
            return plain_conv.convolve_backward(delta, views(rows, stage.layer)[0], x, stage)
        return plain.backward(delta, views(rows, stage)[0], x)


def views(rows: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
    """Return weights [n, H, F] and biases [n, H] of a layer as views of rows."""
    weight = rows[:, layer.weight : layer.bias].view(len(rows), layer.outputs, layer.inputs)
    return weight, rows[:, layer.bias : layer.bias + layer.outputs]
