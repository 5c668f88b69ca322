"""One level of one lineage, the unit of everything: masks and weights in, a trained network and its record out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_core.beginning import Beginning, beginning
from lth_core.data import TensorData
from lth_core.determinism import pin
from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.engines.starting import start_training
from lth_core.expansion import WINNING_TICKET
from lth_core.level_task import LevelTask, check_task
from lth_core.manifest import level_core
from lth_core.masks import Mask, full_mask
from lth_core.optimizers import OptimizerState
from lth_core.pruning import next_mask
from lth_core.pulse import Pulse
from lth_core.weights import Weights


@dataclass(frozen=True)
class LevelResult:
    """What one level leaves behind.

    Attributes:
        core: The manifest's core without `key`, `parent` and `mask_from`, which the caller adds.
        mask: What was trained: ones at level 0, the control's own mask for a control, the last one of gradual pruning.
        next_mask: The next level's mask for a chain that iterates, from level 1 on. None for controls, for methods that
            find every mask from the dense network, and at level 0, which prune settings share.
        rewind: W_k at level 0; above, the unmasked weights the level started from.
        final: Weights at the end.
        curves: `curves.jsonl`.
        engine: Which engine trained it.
        optimizer: The dense network's optimizer state after step k, where later levels restore it.
        resumed_at: Step at which its training went on from a checkpoint, None if it was trained in one go.
    """

    core: dict[str, Any]
    mask: Mask
    next_mask: Mask | None
    rewind: Weights
    final: Weights
    curves: bytes
    engine: EngineKind
    optimizer: OptimizerState | None = None
    resumed_at: int | None = None


class Level:
    """One level under way: what it starts from is found when it is made, what it leaves when it is finished.

    Args:
        task: Lineage, level, and what it starts from.
        data: The data set on the device that trains.

    Raises:
        UserError: If the task does not fit the data, or cannot be computed as it stands.
    """

    def __init__(self, task: LevelTask, data: TensorData) -> None:
        check_task(task, data)
        lineage = task.lineage
        pin(lineage.threads)
        self.task, self._data = task, data
        self._begin = beginning(task, data)
        self.plan = Plan(
            lineage,
            self._begin.weights,
            self._begin.mask,
            first_step=self._begin.first_step,
            record_at=lineage.rewind.step if task.is_dense else None,
            held=self._begin.held,
            tightening=self._begin.tightening,
            optimizer_state=task.optimizer,
            record_optimizer=task.is_dense and lineage.rewind.optimizer == "restore",
            rate=self._begin.rate,
            streams=self._begin.streams,
        )

    def result(self, trained: Trained, engine: EngineKind) -> LevelResult:
        """Return what the level leaves behind, once its plan is trained by an engine."""
        task, begin = self.task, self._begin
        mask = full_mask(task.lineage.tensors()) if trained.mask is None else trained.mask
        rewind = trained.recorded if task.is_dense else begin.weights
        assert rewind is not None
        following = _next_mask(task, mask, trained)
        core = level_core(
            task.lineage,
            task.level,
            mask=mask,
            next_mask=following,
            rewind=rewind,
            rewind_max_abs_err=_rewind_error(trained, begin),
            final=trained.final,
            curves=trained.curves,
            normalisation=self._data.normalisation,
            validation_sha256=trained.validation_sha256,
            optimizer=trained.recorded_optimizer,
        )
        curves = trained.curves.to_jsonl()
        return LevelResult(core, mask, following, rewind, trained.final, curves, engine, trained.recorded_optimizer)


def train_level(
    task: LevelTask,
    data: TensorData,
    *,
    on_progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    engine: EngineKind | None = None,
    checkpoint: Checkpoint | None = None,
) -> LevelResult:
    """Compute one level: the same bits for the same task in the same environment.

    Args:
        task: Lineage, level, and what it starts from.
        data: The data set on the device that trains.
        on_progress: Hears the steps done, at every evaluation and about four times a second.
        should_stop: Asked as often, and at least every 50 steps.
        engine: Which engine trains it; None leaves it to the lineage.
        checkpoint: Where an earlier training of the same plan by the same engine had come to.

    Raises:
        UserError: If the task does not fit the data, or cannot be computed as it stands.
        NonFiniteError: If the training diverges.
        LevelCancelled: If `should_stop` said so.
    """
    level = Level(task, data)
    training = start_training(level.plan, data, Pulse(on_progress, should_stop), engine=engine, checkpoint=checkpoint)
    training.advance(task.lineage.train.steps)
    return level.result(training.finish(), training.engine)


def _next_mask(task: LevelTask, mask: Mask, trained: Trained) -> Mask | None:
    lineage = task.lineage
    if task.level == 0 or lineage.treatment != WINNING_TICKET or lineage.method != "imp":
        return None
    assert task.rewind is not None
    return next_mask(lineage, mask, trained.final, rewind=task.rewind, level=task.level)


def _rewind_error(trained: Trained, begin: Beginning) -> float:
    """Return the largest |start - what the beginning asks for| over all tensors, as the first step found them.

    Kept weights are asked to be those of the beginning; pruned ones to be 0, or those too where they are held.
    """
    errors = [0.0]
    for name, start in trained.start.items():
        expected = begin.weights[name]
        if not begin.held and begin.mask is not None and name in begin.mask:
            expected = np.where(begin.mask[name], expected, np.float32(0))
        if start.size:
            errors.append(float(np.max(np.abs(start - expected))))
    return max(errors)
