"""What every training keeps beside its network: how far it is, what was measured, and what it recorded on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

import numpy as np

from lth_core.curves import Curves
from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.errors import NonFiniteError
from lth_core.masks import Mask
from lth_core.measuring import Judge, Judged, Window
from lth_core.optimizers import OptimizerState
from lth_core.pulse import Pulse
from lth_core.weights import Array, Weights

W = TypeVar("W", bound=Window)


class Kept(Protocol):
    """What can be read of a network and its optimizer; every answer is a copy."""

    def read(self) -> Weights:
        """Return all tensors by name, in state_dict order."""

    def read_state(self, step: int) -> OptimizerState:
        """Return what the optimizer remembers after `step` updates."""

    def read_best(self) -> Mapping[str, Array]:
        """Return the copy at the lowest validation loss as it is stored; empty if there is none."""


class Course:
    """The course of one training. Its engine moves the network, and tells it how far that is.

    A new course asks for its first evaluation by `look_at_start`; one that goes on from a checkpoint has had it.

    Attributes:
        step: Updates done, those before the plan's first step counted.

    Args:
        plan: What is trained.
        engine: Who trains it.
        kept: The network and its optimizer, to read from.
        judged: The same network, to evaluate.
        pulse: Hears of every evaluation.
        window: Training batches since the last evaluation; the engine adds to it.
        validation_sha256: Digest of the validation indices.
        checkpoint: Where to go on; None begins.
    """

    def __init__(
        self,
        plan: Plan,
        engine: EngineKind,
        kept: Kept,
        judged: Judged,
        pulse: Pulse,
        window: Window,
        validation_sha256: str,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._plan, self._engine, self._kept, self._window = plan, engine, kept, window
        self._recipe, self._validation_sha256 = plan.lineage.train, validation_sha256
        self._recorded: Weights | None = None
        self._recorded_optimizer: OptimizerState | None = None
        self.step = plan.first_step if checkpoint is None else checkpoint.step
        curves = None if checkpoint is None else checkpoint.curves.copy()
        self._judge = Judge(self._recipe, judged, pulse, curves)
        if checkpoint is not None:
            self._recorded = checkpoint.part("recorded") or None
            if self._recorded is not None and plan.record_optimizer:
                self._recorded_optimizer = checkpoint.part("recorded_optimizer")

    @property
    def curves(self) -> Curves:
        """Every evaluation so far."""
        return self._judge.curves

    @property
    def remaining(self) -> int:
        """Updates still to do."""
        return self._recipe.steps - self.step

    @property
    def is_due(self) -> bool:
        """Whether the network is evaluated after the updates done."""
        return self.step % self._recipe.eval_every == 0 or not self.remaining

    @property
    def next_border(self) -> int:
        """The next step at which anything but training happens."""
        every = self._recipe.eval_every
        borders = [(self.step // every + 1) * every, self._recipe.steps]
        if self._plan.record_at is not None and self._plan.record_at > self.step:
            borders.append(self._plan.record_at)
        return min(borders)

    def look_at_start(self) -> None:
        """Take the first point of the curves.

        Raises:
            NonFiniteError: If the loss is not finite.
            LevelCancelled: If the caller asked to stop.
        """
        self._judge.look(self.step, self._plan.learning_rate(self.step), train=None)

    def look(self, *, counts: bool = True) -> None:
        """Take a point of the curves; only one that counts can be the early stop. Errors as `look_at_start`."""
        lr = self._plan.learning_rate(self.step - 1)
        self._judge.look(self.step, lr, train=self._window.take(self.step), counts=counts)

    def record(self) -> None:
        """Copy weights, and the optimizer's state where it is asked for, if this is the step for it."""
        if self.step == self._plan.record_at:
            self._recorded = self._kept.read()
            self._recorded_optimizer = self._kept.read_state(self.step) if self._plan.record_optimizer else None

    def finish(self, began: Weights, mask: Mask | None) -> Trained:
        """Return what the training left behind.

        Args:
            began: Weights as the first step found them.
            mask: What was kept at the end; None for the dense network.

        Raises:
            NonFiniteError: If a weight is not finite.
            LevelCancelled: If the caller asked to stop.
        """
        final = self._kept.read()
        if not all(np.isfinite(final[t.name]).all() for t in self._plan.lineage.tensors() if t.is_parameter):
            raise NonFiniteError(self._recipe.steps, "weight")
        self._judge.read_test_set()
        digest, state = self._validation_sha256, self._recorded_optimizer
        return Trained(began, self._recorded, final, self.curves, digest, state, mask)

    def checkpoint(self, mask: bytes | None = None) -> Checkpoint:
        """Return everything that is needed to go on from here.

        Args:
            mask: The packed mask, where it tightens on the way.
        """
        kept: dict[str, Mapping[str, Array]] = {
            "now": self._kept.read(),
            "optimizer": self._kept.read_state(self.step),
            "best": self._kept.read_best(),
            "recorded": self._recorded or {},
            "recorded_optimizer": self._recorded_optimizer or {},
        }
        arrays = {f"{part}.{name}": array for part, found in kept.items() for name, array in found.items()}
        state = self._window.state()
        return Checkpoint(self._plan.digest, self._engine, self.step, arrays, self.curves.copy(), state, mask)


def resumed(window: type[W], checkpoint: Checkpoint | None) -> W:
    """Return a window, in the state that a checkpoint has it."""
    return window() if checkpoint is None else window(checkpoint.window)
