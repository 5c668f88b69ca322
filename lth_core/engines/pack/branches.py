"""Steps of any network: one single-replicate step per slot by autograd, side by side as branches of one graph.

Every slot has a module of its own, whose parameters and running statistics are views of the slot's row: batch norm per
replicate, no grouped convolution, and the very calls that a single training makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core import random
from lth_core.augmentation import Augmentation
from lth_core.engines.base import Plan
from lth_core.engines.pack import plain
from lth_core.engines.pack.drops import DropTable, drop_tables
from lth_core.engines.pack.graphs import Branches
from lth_core.engines.pack.moments import FullMoments
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.shape import PackShape
from lth_core.engines.pack.source import Source
from lth_core.engines.pack.state import Clock, PackState
from lth_core.engines.pack.steps import Stretch
from lth_core.expansion import num_validation
from lth_core.models import FlatNetwork

MAX_INPUT_BYTES = 1 << 30
"""Memory for the images of the steps to come, all slots together."""


class BranchSteps:
    """The interface is `lth_core.engines.pack.steps.Steps`.

    Args:
        shape: What the slots have in common.
        state: Their state.
        data: The data set.
        max_input_bytes: Memory for the images of the steps to come.
    """

    def __init__(
        self, shape: PackShape, state: PackState, data: ResidentData, *, max_input_bytes: int = MAX_INPUT_BYTES
    ) -> None:
        batch = state.num_slots, shape.batch_size, *shape.in_shape
        self.max_steps = max(1, min(state.order.shape[1], max_input_bytes // (4 * torch.Size(batch).numel())))
        num_train = len(data.train_labels)
        self._per_epoch = (num_train - num_validation(num_train)) // shape.batch_size
        self.moments = FullMoments(shape.optimizer, state)
        self._in_shape = shape.in_shape
        self._state, self._data = state, data
        self._row = torch.zeros(1, dtype=torch.int32, device=state.device)
        self._images = torch.zeros(self.max_steps, *batch, device=state.device)
        self._labels = torch.zeros(self.max_steps, *batch[:2], dtype=torch.int32, device=state.device)
        self._every_row = torch.ones(shape.batch_size, dtype=torch.bool, device=state.device)
        self._nets: list[FlatNetwork] = []
        self._drops: list[list[DropTable]] = []
        for slot in range(state.num_slots):
            net = FlatNetwork(shape.model, shape.in_shape, shape.num_classes, state.device, dropout_key=0)
            self._drops.append(drop_tables(net.network, self._images[0, slot], self.max_steps, self._row))
            place_in_rows(net, state, slot)
            self._nets.append(net)
        self._plans: list[Plan | None] = [None] * state.num_slots
        self._branches = Branches(state.num_slots, state.device)

    def admit(self, slot: int, plan: Plan) -> None:
        """Note whose augmentation and dropout a slot has."""
        self._plans[slot] = plan

    def ready(self, position: int, stretches: Sequence[Stretch]) -> None:
        """Make the images, labels and dropout masks of the next steps by the functions of a single training."""
        self._row.zero_()
        for stretch in stretches:
            slot, num = stretch.slot, stretch.num_steps
            index = self._state.order[slot, position : position + num]
            self._labels[:num, slot] = self._data.train_labels[index]
            self._images[:num, slot] = self._augmented(stretch, index)
            plan = self._plans[slot]
            assert plan is not None
            for table in self._drops[slot]:
                table.fill(random.seed_key(plan.lineage.replicate, "dropout"), stretch.first, num)

    def train(self) -> None:
        """Take one step with every slot whose clock runs."""
        self._branches.run([partial(self._train, slot) for slot in self._slots(self._state.clock)])
        self._row.add_(1)
        self._state.clock.tick()

    @torch.no_grad()
    def judge(self, source: Source, clock: Clock) -> None:
        """Evaluate one batch."""
        self._branches.run([partial(self._judge, source, clock, slot) for slot in self._slots(clock)])
        clock.tick()

    def _slots(self, clock: Clock) -> Sequence[int]:
        """Every slot where nothing may be read from the device, else those whose clock runs."""
        return range(self._state.num_slots) if self._state.device.type == "cuda" else clock.running()

    def _train(self, slot: int) -> None:
        state, net, slots = self._state, self._nets[slot], slice(slot, slot + 1)
        row = self._row.clamp(max=self.max_steps - 1)
        images = self._images[:, slot].index_select(0, row)[0]
        labels = self._labels[:, slot].index_select(0, row)
        before = state.buffers[slots].clone()
        logits = net.network(images)
        with torch.no_grad():
            losses, delta, correct = plain.loss(logits.detach()[None], labels, state.smoothing[slots], self._every_row)
            gradients = torch.autograd.grad(logits, net.parameters, delta[0])
            joined = torch.cat([part.reshape(-1) for part in gradients])
            gradient = F.pad(joined, (0, state.weights.shape[1] - len(joined)))[None]
            self.moments.update(gradient, slots)
            active = state.clock.active()[slots, None]
            state.buffers[slots].copy_(torch.where(active, state.buffers[slots], before))
            state.clock.note(losses / len(images), correct, slots)

    def _judge(self, source: Source, clock: Clock, slot: int) -> None:
        slots, network = slice(slot, slot + 1), self._nets[slot].network
        index, labels, valid = source.batch(clock, slots)
        images = plain.take(source.images, source.scales, self._data.table, self._data.pixels, index)
        network.eval()
        logits = network(images.view(-1, *self._in_shape))[None]
        network.train()
        losses, _, correct = plain.loss(logits, labels, torch.zeros_like(logits[:, 0, 0]), valid)
        clock.note(losses, correct, slots)

    def _augmented(self, stretch: Stretch, index: Tensor) -> Tensor:
        plan = self._plans[stretch.slot]
        assert plan is not None
        data = self._data
        images = plain.take(data.train_images, data.train_scales, data.table, data.pixels, index)
        recipe = plan.lineage.train
        if not recipe.flip and not recipe.crop_padding:
            return images.view(*index.shape, *self._in_shape)
        key = random.seed_key(plan.lineage.replicate, plan.streams.augment)
        fill = tuple(data.table[:, 0].tolist())
        augmentation = Augmentation(recipe.flip, recipe.crop_padding, key, fill)
        examples, drawn = index.cpu().long().numpy(), []
        for i in range(stretch.num_steps):
            drawn.append(torch.from_numpy(augmentation.draw((stretch.first + i) // self._per_epoch, examples[i])))
        whole = augmentation.apply(images.view(-1, *self._in_shape), torch.cat(drawn).to(images.device))
        return whole.view(*index.shape, *self._in_shape)


def place_in_rows(net: FlatNetwork, state: PackState, slot: int) -> None:
    """Turn a network's parameters and running statistics into views of a slot's row."""
    held = dict(net.network.named_buffers())
    statistics = [held[tensor.name] for tensor in net.tensors if not tensor.is_parameter]
    for row, parts in ((state.weights[slot], net.parameters), (state.buffers[slot], statistics)):
        start = 0
        for part in parts:
            part.data = row[start : start + part.numel()].view(part.shape)
            start += part.numel()
