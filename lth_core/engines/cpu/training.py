"""A fully connected network trained on one core by the native kernels: dense steps fused, sparse steps at survivors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lth_core import random
from lth_core.data import Split, TensorData, split
from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.engines.cpu.network import CpuNetwork
from lth_core.errors import NonFiniteError
from lth_core.measuring import Judge, Window
from lth_core.native import compiled
from lth_core.native.orders import permutation
from lth_core.optimizers import OptimizerState
from lth_core.pulse import MAX_SILENT_STEPS, Pulse
from lth_core.weights import Array, Weights


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
        self._plan, self._pulse, self._recipe = plan, pulse, lineage.train
        self._parts = split(data.info.num_train, lineage.replicate)
        self._net = CpuNetwork(plan, data, self._parts)
        self._began = self._net.read()
        self._order = _Order(plan, self._parts)
        self._recorded: Weights | None = None
        self._recorded_optimizer: OptimizerState | None = None
        if checkpoint is None:
            self.step = plan.first_step
            self._window = Window()
            self._judge = Judge(self._recipe, self._net, pulse)
            self._judge.look(self.step, plan.learning_rate(self.step), train=None)
            self._record()
        else:
            self.step = checkpoint.step
            self._window = Window(checkpoint.window)
            self._judge = Judge(self._recipe, self._net, pulse, checkpoint.curves.copy())
            self._restore(checkpoint)

    def advance(self, until: int) -> None:
        """Train on to `until` updates; errors as the interface says."""
        while self.step < until:
            border = min(until, self._next_border())
            rates = np.array([self._plan.learning_rate(step) for step in range(self.step, border)])
            examples = self._order.batches(self.step, border)
            losses, num_correct = self._net.train(examples, rates, self.step)
            self._window.add(losses.tolist(), int(num_correct.sum()), examples.size)
            self.step += len(examples)
            self._pulse.speak(self.step)
            self._record()
            if self.step % self._recipe.eval_every == 0 or self.step == self._recipe.steps:
                lr = self._plan.learning_rate(self.step - 1)
                self._judge.look(self.step, lr, train=self._window.take(self.step))

    def finish(self) -> Trained:
        """Return what the training left behind; errors as the interface says."""
        final = self._net.read()
        if not all(np.isfinite(array).all() for array in final.values()):
            raise NonFiniteError(self._recipe.steps, "weight")
        self._judge.read_test_set()
        return Trained(
            self._began,
            self._recorded,
            final,
            self._judge.curves,
            self._parts.validation_sha256,
            self._recorded_optimizer,
            self._plan.mask,
        )

    def checkpoint(self) -> Checkpoint:
        """Return everything that is needed to go on from here."""
        arrays: dict[str, Array] = {f"now.{name}": array for name, array in self._net.read().items()}
        arrays.update({f"optimizer.{name}": array for name, array in self._net.read_state(self.step).items()})
        arrays.update({f"best.{name}": array for name, array in self._net.read_best().items()})
        arrays.update({f"recorded.{name}": array for name, array in (self._recorded or {}).items()})
        arrays.update({f"recorded_optimizer.{n}": array for n, array in (self._recorded_optimizer or {}).items()})
        curves, window = self._judge.curves.copy(), self._window.state()
        return Checkpoint(self._plan.digest, self.engine, self.step, arrays, curves, window)

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._net.load(checkpoint.part("now"), checkpoint.part("optimizer"), checkpoint.part("best"))
        self._recorded = checkpoint.part("recorded") or None
        if self._recorded is not None and self._plan.record_optimizer:
            self._recorded_optimizer = checkpoint.part("recorded_optimizer")

    def _next_border(self) -> int:
        """The next step at which anything but training happens."""
        step, every = self.step, self._recipe.eval_every
        borders = [step + MAX_SILENT_STEPS, (step // every + 1) * every, self._recipe.steps]
        if self._plan.record_at is not None and self._plan.record_at > step:
            borders.append(self._plan.record_at)
        return min(borders)

    def _record(self) -> None:
        if self.step == self._plan.record_at:
            self._recorded = self._net.read()
            self._recorded_optimizer = self._net.read_state(self.step) if self._plan.record_optimizer else None


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
