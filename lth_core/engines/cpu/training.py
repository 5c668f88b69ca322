"""A fully connected network trained on one core by the native kernels: dense steps fused, sparse steps at survivors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lth_core import random
from lth_core.data import Split, TensorData, split
from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.engines.course import Course, resumed
from lth_core.engines.cpu.network import CpuNetwork
from lth_core.measuring import Window
from lth_core.native import compiled
from lth_core.native.orders import permutation
from lth_core.pulse import MAX_SILENT_STEPS, Pulse


def can_run() -> bool:
    """Tell whether this machine has the native kernels and an instruction set they are written for."""
    return compiled.available()


class CpuTraining:
    """One plan under way; the interface is `lth_core.engines.base.Training`.

    Bits do not depend on how the training is cut into segments, nor on what else the process trains.

    Args:
        plan: What is trained: a fully connected network without augmentation, held weights or a tightening mask.
        data: The data set, in memory.
        pulse: Hears of every few steps, and may end the training.
        checkpoint: Where to go on; None begins.

    Raises:
        NonFiniteError: If the loss at the start is not finite.
        LevelCancelled: If the caller asked to stop.
        ValueError: If the plan does not fit the network, or asks for what only the reference does.
    """

    engine: EngineKind = "cpu"

    def __init__(self, plan: Plan, data: TensorData, pulse: Pulse, checkpoint: Checkpoint | None = None) -> None:
        _check(plan)
        lineage = plan.lineage
        self._plan, self._pulse = plan, pulse
        self._parts = split(data.info.num_train, lineage.replicate)
        self._net = CpuNetwork(plan, data, self._parts)
        self._began = self._net.read()
        self._order = _Order(plan, self._parts)
        self._window = resumed(Window, checkpoint)
        digest = self._parts.validation_sha256
        self._course = Course(plan, self.engine, self._net, self._net, pulse, self._window, digest, checkpoint)
        if checkpoint is None:
            self._course.look_at_start()
            self._course.record()
        else:
            self._net.load(checkpoint.part("now"), checkpoint.part("optimizer"), checkpoint.part("best"))

    @property
    def step(self) -> int:
        """Updates done."""
        return self._course.step

    def advance(self, until: int) -> None:
        """Train on to `until` updates; errors as the interface says."""
        course = self._course
        while course.step < until:
            border = min(until, course.next_border, course.step + MAX_SILENT_STEPS)
            rates = np.array([self._plan.learning_rate(step) for step in range(course.step, border)])
            examples = self._order.batches(course.step, border)
            losses, num_correct = self._net.train(examples, rates, course.step)
            self._window.add(losses.tolist(), int(num_correct.sum()), examples.size)
            course.step += len(examples)
            self._pulse.speak(course.step)
            course.record()
            if course.is_due:
                course.look()

    def finish(self) -> Trained:
        """Return what the training left behind; errors as the interface says."""
        return self._course.finish(self._began, self._plan.mask)

    def checkpoint(self) -> Checkpoint:
        """Return everything that is needed to go on from here."""
        return self._course.checkpoint()


class _Order:
    """The examples of every step: those of `lth_core.data.batches`, an epoch kept at a time."""

    def __init__(self, plan: Plan, parts: Split) -> None:
        self._fit = parts.fit.astype(np.int32)
        self._key = random.seed_key(plan.lineage.replicate, plan.streams.order)
        self._batch_size = plan.lineage.train.batch_size
        self._per_epoch = len(parts.fit) // self._batch_size
        self._epoch, self._examples = -1, np.empty((0, self._batch_size), dtype=np.int32)

    def batches(self, first: int, until: int) -> npt.NDArray[np.int32]:
        """Return the examples of steps `first` to the end of its epoch, or to `until`: [num_steps, batch_size]."""
        epoch, position = divmod(first, self._per_epoch)
        if epoch != self._epoch:
            order = permutation(self._key, len(self._fit), epoch)[: self._per_epoch * self._batch_size]
            self._epoch, self._examples = epoch, self._fit[order].reshape(self._per_epoch, self._batch_size)
        return self._examples[position : position + until - first]


def _check(plan: Plan) -> None:
    train = plan.lineage.train
    if plan.held or plan.tightening is not None or train.flip or train.crop_padding:
        raise ValueError("held weights, a mask that tightens and augmentation are trained by the reference engine only")
