"""Steps of fully connected networks in plain torch: all slots at once by batched products, or one after the other.

One after the other is the meaning of the kernels of `triton_steps`: each slot's arithmetic is a call of its own, on a
row that begins at the same alignment, so that nothing of the pack can enter it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lth_core.engines.base import Plan
from lth_core.engines.pack import plain
from lth_core.engines.pack.layout import Layer, dense_layers
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.shape import PackShape
from lth_core.engines.pack.source import Source, training_source
from lth_core.engines.pack.state import Clock, PackState
from lth_core.engines.pack.steps import Stretch
from lth_core.engines.pack.updates import update_rows


class TorchSteps:
    """The interface is `lth_core.engines.pack.steps.Steps`.

    Args:
        shape: What the slots have in common; variant "bmm" takes them all at once.
        state: Their state.
        data: The data set.
    """

    def __init__(self, shape: PackShape, state: PackState, data: ResidentData) -> None:
        self.max_steps = state.order.shape[1]
        self._kind = shape.optimizer
        self._layers = dense_layers(shape.tensors)
        self._together = shape.variant == "bmm"
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
        for layer, x in reversed(list(zip(self._layers, seen[:-1], strict=True))):
            weight, bias = (part.contiguous() for part in plain.gradients(delta, x))
            views = self._views(gradient, layer)
            views[0].copy_(weight)
            views[1].copy_(bias)
            if layer is not self._layers[0]:
                delta = plain.backward(delta, self._views(state.weights[slots], layer)[0], x)
        update_rows(self._kind, state, gradient, slots)
        state.clock.note(losses / self._source.num_rows, correct, slots)

    def _forward(self, source: Source, index: Tensor, slots: slice) -> list[Tensor]:
        """Return what every layer reads, and the logits at the end."""
        seen = [plain.take(source.images, source.scales, self._data.table, self._data.pixels, index)]
        for layer in self._layers:
            weight, bias = self._views(self._state.weights[slots], layer)
            seen.append(plain.forward(seen[-1], weight, bias, relu=layer is not self._layers[-1]))
        return seen

    @staticmethod
    def _views(rows: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
        """Return weights [n, H, F] and biases [n, H] as views of rows."""
        weight = rows[:, layer.weight : layer.bias].view(len(rows), layer.outputs, layer.inputs)
        return weight, rows[:, layer.bias : layer.bias + layer.outputs]
