"""Steps of plain networks by the Triton kernels: every slot in the same launches, each tile its own program."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lth_core.engines.base import Plan
from lth_core.engines.pack.conv_launches import ConvLauncher
from lth_core.engines.pack.launches import Launcher, Updates
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.shape import PackShape
from lth_core.engines.pack.source import Source, training_source
from lth_core.engines.pack.stages import Convolution, Pool, Stage, layers_of
from lth_core.engines.pack.state import Clock, PackState
from lth_core.engines.pack.steps import Stretch
from lth_core.engines.pack.survivors import SurvivorMoments
from lth_core.engines.pack.tiling import num_splits


class TritonSteps:
    """The interface is `lth_core.engines.pack.steps.Steps`.

    Args:
        shape: What the slots have in common.
        state: Their state.
        data: The data set.
    """

    def __init__(self, shape: PackShape, state: PackState, data: ResidentData) -> None:
        self.max_steps = state.order.shape[1]
        self._stages = shape.stages()
        self._state = state
        self._source = training_source(data, state.order)
        layers = layers_of(self._stages)
        self.moments = SurvivorMoments(shape.optimizer, state, layers)
        self._dense, self._conv = Launcher(state, data), ConvLauncher(state, data)
        self._updates = Updates(layers, shape.optimizer, state, self.moments, data)
        self._seen: dict[int, list[Tensor]] = {}
        self._deltas = [torch.zeros_like(seen) for seen in self._outputs(shape.batch_size)]
        self._sums = {
            stage: self._room_for_sums(stage, shape.batch_size)
            for stage in self._stages
            if isinstance(stage, Convolution)
        }

    def admit(self, slot: int, plan: Plan) -> None:
        """Nothing beside the state belongs to a slot."""

    def ready(self, position: int, stretches: Sequence[Stretch]) -> None:
        """Nothing beside the state is read."""

    def train(self) -> None:
        """Take one step with every slot whose clock runs: all deltas first, from the weights before the update."""
        clock = self._state.clock
        seen = self._forward(self._source, clock)
        self._dense.loss(seen[-1], self._source, clock, self._deltas[-1], train=True)
        for i in range(len(self._stages) - 1, 0, -1):
            self._backward(self._stages[i], self._deltas[i], seen[i - 1], self._deltas[i - 1])
        for i, stage in enumerate(self._stages):
            self._update(stage, self._deltas[i], seen[max(i - 1, 0)])
        clock.tick()

    def judge(self, source: Source, clock: Clock) -> None:
        """Evaluate one batch."""
        logits = self._forward(source, clock)[-1]
        self._dense.loss(logits, source, clock, logits, train=False)
        clock.tick()

    def _forward(self, source: Source, clock: Clock) -> list[Tensor]:
        """Return every stage's output, float32 [G, R, size]."""
        outputs = self._outputs(source.num_rows)
        for i, stage in enumerate(self._stages):
            x, out, from_bytes = outputs[max(i - 1, 0)], outputs[i], i == 0
            if isinstance(stage, Pool):
                self._conv.pool(stage, x, clock, out)
            elif isinstance(stage, Convolution):
                self._conv.forward(stage, x, source, clock, out, from_bytes=from_bytes)
            else:
                relu = i < len(self._stages) - 1
                self._dense.forward(stage, x, source, clock, out, from_bytes=from_bytes, relu=relu)
        return outputs

    def _backward(self, stage: Stage, delta: Tensor, x: Tensor, out: Tensor) -> None:
        """Write the delta below a stage, zero where what it reads is not above 0."""
        if isinstance(stage, Pool):
            self._conv.unpool(stage, delta, x, out)
        elif isinstance(stage, Convolution):
            self._conv.backward(stage, delta, x, out)
        else:
            self._dense.backward(stage, delta, x, out)

    def _update(self, stage: Stage, delta: Tensor, x: Tensor) -> None:
        if isinstance(stage, Pool):
            return
        from_bytes = stage is self._stages[0]
        if isinstance(stage, Convolution):
            sums, bias_sums = self._sums[stage]
            self._conv.gradient(stage, delta, x, self._source, sums, bias_sums, from_bytes=from_bytes)
            self._updates.from_sums(stage.layer, sums, bias_sums)
        else:
            self._updates.from_delta(stage, delta, x, self._source, from_bytes=from_bytes)

    def _outputs(self, num_rows: int) -> list[Tensor]:
        """Return the tensors for outputs of so many rows, made once: a graph remembers their addresses."""
        if num_rows not in self._seen:
            self._seen[num_rows] = [self._zeros(num_rows, stage.size) for stage in self._stages]
        return self._seen[num_rows]

    def _room_for_sums(self, stage: Convolution, batch_size: int) -> tuple[Tensor, Tensor]:
        """Return the tensors for the parts of a convolution's gradients."""
        layer, num = stage.layer, num_splits(batch_size * stage.height * stage.width)
        return self._zeros(num, layer.outputs, layer.inputs), self._zeros(num, layer.outputs)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(self._state.num_slots, *shape, device=self._state.device)
