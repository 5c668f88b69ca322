"""A convolutional network trained on one core: the steps of `ConvNetwork`, judged and kept as every engine's are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from lth_core import random
from lth_core.augmentation import Augmentation
from lth_core.data import Split, TensorData, batches, split
from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.engines.conv.network import ConvNetwork
from lth_core.engines.conv.support import supports
from lth_core.errors import NonFiniteError
from lth_core.evaluation import Score
from lth_core.measuring import Judge, Part, TensorWindow
from lth_core.optimizers import OptimizerState
from lth_core.pulse import Pulse
from lth_core.weights import Array, Weights


class ConvTraining:
    """One plan under way; the interface is `lth_core.engines.base.Training`.

    Bits do not depend on how the training is cut into segments.

    Args:
        plan: What is trained: a network that `supports` says yes to.
        data: The data set, in memory.
        pulse: Hears of every step, and may end the training.
        checkpoint: Where to go on; None begins.

    Raises:
        NonFiniteError: If the loss at the start is not finite.
        LevelCancelled: If the caller asked to stop.
        ValueError: If weights, mask or the optimizer's state do not fit the network, or the plan asks for what only
            the reference does.
    """

    engine: EngineKind = "conv"

    def __init__(self, plan: Plan, data: TensorData, pulse: Pulse, checkpoint: Checkpoint | None = None) -> None:
        lineage = plan.lineage
        _check(plan)
        self._plan, self._data, self._pulse, self._recipe = plan, data, pulse, lineage.train
        self._parts = split(data.info.num_train, lineage.replicate)
        self._net = ConvNetwork(lineage, plan.mask)
        self._judged = JudgedConvNetwork(self._net, data, self._parts)
        self._examples: Iterator[tuple[Tensor, Tensor]] | None = None
        self._recorded: Weights | None = None
        self._recorded_optimizer: OptimizerState | None = None
        self._net.load(plan.start)
        if plan.optimizer_state is not None:
            self._net.load_state(plan.optimizer_state)
        self._began = self._net.read()
        if checkpoint is None:
            self.step = plan.first_step
            self._window = TensorWindow()
            self._judge = Judge(self._recipe, self._judged, pulse)
            self._judge.look(self.step, plan.learning_rate(self.step), train=None)
            self._record()
        else:
            self.step = checkpoint.step
            self._window = TensorWindow(checkpoint.window)
            self._judge = Judge(self._recipe, self._judged, pulse, checkpoint.curves.copy())
            self._restore(checkpoint)

    def advance(self, until: int) -> None:
        """Train on to `until` updates; errors as the interface says."""
        for step in range(self.step, until):
            images, labels = self._batch()
            lr = self._plan.learning_rate(step)
            loss, logits = self._net.step(images, labels, step, lr)
            self._window.note(loss, logits, labels)
            self.step = step + 1
            self._pulse.beat(self.step)
            self._record()
            if self.step % self._recipe.eval_every == 0 or self.step == self._recipe.steps:
                self._judge.look(self.step, lr, train=self._window.take(self.step))

    def finish(self) -> Trained:
        """Return what the training left behind; errors as the interface says."""
        if not self._net.is_finite:
            raise NonFiniteError(self._recipe.steps, "weight")
        final = self._net.read()
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
        arrays.update({f"optimizer.{name}": array for name, array in self._net.read_state().items()})
        arrays.update({f"best.{name}": array for name, array in self._judged.best_arrays().items()})
        arrays.update({f"recorded.{name}": array for name, array in (self._recorded or {}).items()})
        arrays.update({f"recorded_optimizer.{n}": array for n, array in (self._recorded_optimizer or {}).items()})
        return Checkpoint(
            self._plan.digest, self.engine, self.step, arrays, self._judge.curves.copy(), self._window.state()
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._net.load(checkpoint.part("now"))
        self._net.load_state(checkpoint.part("optimizer"))
        self._judged.take_best(checkpoint.part("best"))
        self._recorded = checkpoint.part("recorded") or None
        if self._recorded is not None and self._plan.record_optimizer:
            self._recorded_optimizer = checkpoint.part("recorded_optimizer")

    def _record(self) -> None:
        if self.step == self._plan.record_at:
            self._recorded = self._net.read()
            self._recorded_optimizer = self._net.read_state() if self._plan.record_optimizer else None

    def _batch(self) -> tuple[Tensor, Tensor]:
        if self._examples is None:
            self._examples = batches(
                self._data,
                self._parts,
                self._plan.lineage.replicate,
                self._recipe.batch_size,
                self.step,
                order=self._plan.streams.order,
                augmentation=_augmentation(self._plan, self._data),
            )
        return next(self._examples)


class JudgedConvNetwork:
    """A convolutional network as the judge sees it, with its copy at the lowest validation loss.

    Args:
        net: The network.
        data: The data set.
        parts: Which of its training examples validate.
    """

    def __init__(self, net: ConvNetwork, data: TensorData, parts: Split) -> None:
        chosen = torch.from_numpy(parts.validation)
        self._sets: dict[Part, tuple[Tensor, Tensor]] = {
            "validation": (data.train_images.index_select(0, chosen), data.train_labels.index_select(0, chosen)),
            "test": (data.test_images, data.test_labels),
        }
        self._net = net
        self._best: Tensor | None = None

    def score(self, part: Part, beat: Callable[[], None]) -> Score:
        """Evaluate the network as it stands."""
        return self._net.evaluate(*self._sets[part], beat)

    def keep_best(self) -> None:
        """Keep a copy."""
        self._best = self._net.snapshot()

    def go_to_best(self) -> None:
        """Become the copy."""
        assert self._best is not None
        self._net.restore(self._best)

    def best_arrays(self) -> dict[str, Array]:
        """Return the copy as it would be stored; empty if there is none."""
        return {} if self._best is None else {"vector": self._best.numpy()}

    def take_best(self, arrays: Mapping[str, Array]) -> None:
        """Take over a copy that `best_arrays` returned."""
        self._best = torch.from_numpy(arrays["vector"].copy()) if arrays else None


def _augmentation(plan: Plan, data: TensorData) -> Augmentation | None:
    recipe = plan.lineage.train
    if not recipe.flip and not recipe.crop_padding:
        return None
    key = random.seed_key(plan.lineage.replicate, plan.streams.augment)
    return Augmentation(recipe.flip, recipe.crop_padding, key, data.normalisation.fill)


def _check(plan: Plan) -> None:
    lineage, tightens = plan.lineage, plan.tightening is not None
    if not supports(lineage.model, lineage.train, lineage.device_class, held=plan.held, tightens=tightens):
        raise ValueError(
            f"{lineage.model.name} with this recipe, held weights or a mask that tightens is the reference's to train"
        )
