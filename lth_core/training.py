"""Training of one network under one mask: always to the end, the same bits for the same start, mask and streams.

This is the reference, and the meaning of every engine: plain autograd on whole tensors. What leaves a weight under a
mask stays away from it: pruned positions are zero (or held at their start value) in the weights after every update,
and zero in the gradient and in the optimizer's state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core import random
from lth_core.data import TensorData, batches, split
from lth_core.engines.augmenting import augmentation_of
from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.engines.course import Course, resumed
from lth_core.evaluation import Score, evaluate
from lth_core.keeping import Keep
from lth_core.masks import pack_mask, unpack_mask
from lth_core.measuring import Part, TensorWindow
from lth_core.models import FlatNetwork, Snapshot
from lth_core.optimizers import OptimizerState, build_optimizer, load_state, read_state
from lth_core.pulse import Pulse
from lth_core.weights import Array, Weights


class ReferenceTraining:
    """One plan under way in plain torch; the interface is `lth_core.engines.base.Training`.

    Label smoothing enters the loss that is minimised, never one that judges. Batch norm learns its statistics from
    training batches and is judged by them.

    Args:
        plan: What is trained.
        data: The data set, on the device that trains.
        pulse: Hears of every step, and may end the training.
        checkpoint: Where to go on; None begins.

    Raises:
        NonFiniteError: If the loss at the start is not finite.
        LevelCancelled: If the caller asked to stop.
        ValueError: If weights, mask or the optimizer's state do not fit the network.
    """

    engine: EngineKind = "reference"

    def __init__(self, plan: Plan, data: TensorData, pulse: Pulse, checkpoint: Checkpoint | None = None) -> None:
        lineage = plan.lineage
        self._plan, self._data, self._pulse = plan, data, pulse
        self._recipe = lineage.train
        self._net = FlatNetwork(
            lineage.model,
            lineage.in_shape,
            lineage.num_classes,
            data.device,
            dropout_key=random.seed_key(lineage.replicate, "dropout"),
        )
        self._net.load(plan.start)
        self._optimizer = build_optimizer(self._recipe, self._net.vector)
        if plan.optimizer_state is not None:
            load_state(self._optimizer, plan.optimizer_state)
        self._keep = Keep(self._net, self._optimizer, plan.mask, plan.held)
        self._began = self._net.read()
        self._parts = split(data.info.num_train, lineage.replicate)
        self._judged = JudgedNetwork(self._net, data, self._parts.validation)
        self._gradient = torch.empty_like(self._net.vector)
        self._one = torch.ones((), device=data.device)
        self._examples: Iterator[tuple[Tensor, Tensor]] | None = None
        self._window = resumed(TensorWindow, checkpoint)
        digest = self._parts.validation_sha256
        self._course = Course(plan, self.engine, self, self._judged, pulse, self._window, digest, checkpoint)
        if checkpoint is None:
            self._course.look_at_start()
            self._tighten(self._began)
            self._course.record()
        else:
            self._restore(checkpoint)

    @property
    def step(self) -> int:
        """Updates done."""
        return self._course.step

    def advance(self, until: int) -> None:
        """Train on to `until` updates; errors as the interface says."""
        course = self._course
        for step in range(course.step, until):
            images, labels = self._batch()
            self._net.at_step(step)
            logits = self._net.network(images)
            loss = F.cross_entropy(logits, labels, label_smoothing=self._recipe.label_smoothing)
            gradients = torch.autograd.grad(loss, self._net.parameters, self._one)
            torch.cat([part.reshape(-1) for part in gradients], out=self._gradient)
            self._keep.mask_gradient(self._gradient)
            self._optimizer.step(self._gradient, self._plan.learning_rate(step))
            self._keep.mask_weights()
            self._window.note(loss, logits, labels)
            course.step = step + 1
            self._pulse.beat(course.step)
            self._tighten(None)
            course.record()
            if course.is_due:
                tightening = self._plan.tightening
                course.look(counts=tightening is None or course.step >= tightening.end_step)

    def finish(self) -> Trained:
        """Return what the training left behind; errors as the interface says."""
        return self._course.finish(self._began, self._keep.mask)

    def checkpoint(self) -> Checkpoint:
        """Return everything that is needed to go on from here."""
        tightens, mask = self._plan.tightening is not None, self._keep.mask
        packed = pack_mask(mask, self._plan.lineage.tensors()) if tightens and mask is not None else None
        return self._course.checkpoint(packed)

    def read(self) -> Weights:
        """Return copies of the weights and running statistics."""
        return self._net.read()

    def read_state(self, step: int) -> OptimizerState:  # noqa: ARG002 - its optimizer counts by itself
        """Return copies of what the optimizer remembers."""
        return read_state(self._optimizer)

    def read_best(self) -> dict[str, Array]:
        """Return the copy at the lowest validation loss."""
        return {name: tensor.cpu().numpy() for name, tensor in self._judged.best_arrays().items()}

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._net.load(checkpoint.part("now"))
        load_state(self._optimizer, checkpoint.part("optimizer"))
        if checkpoint.mask is not None:
            mask = unpack_mask(checkpoint.mask, self._plan.lineage.tensors())
            self._keep = Keep(self._net, self._optimizer, mask, held=False)
        self._judged.take_best({name: torch.from_numpy(array) for name, array in checkpoint.part("best").items()})

    def _tighten(self, weights: Weights | None) -> None:
        tightening = self._plan.tightening
        if tightening is not None and tightening.is_due(self.step):
            now = self._net.read() if weights is None else weights
            self._keep = self._keep.tighter(tightening.mask_after(self.step, self._keep.mask, now))

    def _batch(self) -> tuple[Tensor, Tensor]:
        if self._examples is None:
            lineage, streams = self._plan.lineage, self._plan.streams
            self._examples = batches(
                self._data,
                self._parts,
                lineage.replicate,
                self._recipe.batch_size,
                self.step,
                order=streams.order,
                augmentation=augmentation_of(self._plan, self._data),
            )
        return next(self._examples)


class JudgedNetwork:
    """A torch network as the judge sees it, with its copy at the lowest validation loss.

    Args:
        net: The network.
        data: The data set.
        validation: Indices of the validation examples.
    """

    def __init__(self, net: FlatNetwork, data: TensorData, validation: Any) -> None:
        chosen = torch.from_numpy(validation).to(data.device)
        self._sets: dict[Part, tuple[Tensor, Tensor]] = {
            "validation": (data.train_images.index_select(0, chosen), data.train_labels.index_select(0, chosen)),
            "test": (data.test_images, data.test_labels),
        }
        self._net = net
        self._best: Snapshot | None = None

    def score(self, part: Part, beat: Callable[[], None]) -> Score:
        """Evaluate the network as it stands."""
        return evaluate(self._net.network, *self._sets[part], beat=beat)

    def keep_best(self) -> None:
        """Keep a copy."""
        self._best = self._net.snapshot()

    def go_to_best(self) -> None:
        """Become the copy."""
        assert self._best is not None
        self._net.restore(self._best)

    def best_arrays(self) -> dict[str, Tensor]:
        """Return the copy as it would be stored; empty if there is none."""
        return {} if self._best is None else {"vector": self._best.vector, "buffers": self._best.buffers}

    def take_best(self, arrays: dict[str, Tensor]) -> None:
        """Take over a copy that `best_arrays` returned."""
        device = self._net.vector.device
        self._best = Snapshot(arrays["vector"].to(device), arrays["buffers"].to(device)) if arrays else None


def train(plan: Plan, data: TensorData, pulse: Pulse) -> Trained:
    """Train a plan from its first step to its last by the reference; errors as its training says."""
    training = ReferenceTraining(plan, data, pulse)
    training.advance(plan.lineage.train.steps)
    return training.finish()
