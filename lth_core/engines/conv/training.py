"""A convolutional network trained on one core: the steps of `ConvNetwork`, judged and kept as every engine's are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from lth_core.data import Split, TensorData, batches, split
from lth_core.engines.augmenting import augmentation_of
from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.engines.conv.network import ConvNetwork
from lth_core.engines.conv.support import supports
from lth_core.engines.course import Course, resumed
from lth_core.evaluation import Score
from lth_core.measuring import Part, TensorWindow
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
        self._net.load(plan.start)
        if plan.optimizer_state is not None:
            self._net.load_state(plan.optimizer_state)
        self._began = self._net.read()
        self._window = resumed(TensorWindow, checkpoint)
        digest = self._parts.validation_sha256
        self._course = Course(plan, self.engine, self, self._judged, pulse, self._window, digest, checkpoint)
        if checkpoint is None:
            self._course.look_at_start()
            self._course.record()
        else:
            self._net.load(checkpoint.part("now"))
            self._net.load_state(checkpoint.part("optimizer"))
            self._judged.take_best(checkpoint.part("best"))

    @property
    def step(self) -> int:
        """Updates done."""
        return self._course.step

    def advance(self, until: int) -> None:
        """Train on to `until` updates; errors as the interface says."""
        course = self._course
        for step in range(course.step, until):
            images, labels = self._batch()
            loss, logits = self._net.step(images, labels, step, self._plan.learning_rate(step))
            self._window.note(loss, logits, labels)
            course.step = step + 1
            self._pulse.beat(course.step)
            course.record()
            if course.is_due:
                course.look()

    def finish(self) -> Trained:
        """Return what the training left behind; errors as the interface says."""
        return self._course.finish(self._began, self._plan.mask)

    def checkpoint(self) -> Checkpoint:
        """Return everything that is needed to go on from here."""
        return self._course.checkpoint()

    def read(self) -> Weights:
        """Return copies of the weights."""
        return self._net.read()

    def read_state(self, step: int) -> OptimizerState:  # noqa: ARG002 - its optimizer counts by itself
        """Return copies of what the optimizer remembers."""
        return self._net.read_state()

    def read_best(self) -> dict[str, Array]:
        """Return the copy at the lowest validation loss."""
        return self._judged.best_arrays()

    def _batch(self) -> tuple[Tensor, Tensor]:
        if self._examples is None:
            self._examples = batches(
                self._data,
                self._parts,
                self._plan.lineage.replicate,
                self._recipe.batch_size,
                self.step,
                order=self._plan.streams.order,
                augmentation=augmentation_of(self._plan, self._data),
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


def _check(plan: Plan) -> None:
    lineage, tightens = plan.lineage, plan.tightening is not None
    if not supports(lineage.model, lineage.train, lineage.device_class, held=plan.held, tightens=tightens):
        raise ValueError(
            f"{lineage.model.name} with this recipe, held weights or a mask that tightens is the reference's to train"
        )
