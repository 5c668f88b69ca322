"""One level of one lineage, the unit of everything: a mask and W_k in, a trained ticket and its record out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_core import random
from lth_core.controls import starting_point
from lth_core.data import TensorData
from lth_core.determinism import pin
from lth_core.errors import UserError
from lth_core.expansion import WINNING_TICKET, LineageSpec, num_validation
from lth_core.initialisation import glorot_normal
from lth_core.manifest import level_core
from lth_core.masks import Mask, full_mask
from lth_core.pruning import next_mask
from lth_core.pulse import Pulse
from lth_core.training import Trained, train
from lth_core.weights import Weights, check_weights


@dataclass(frozen=True)
class LevelTask:
    """What an engine is asked to compute.

    Attributes:
        lineage: The lineage, complete.
        level: 0 for the dense network, n after n prunings.
        mask: The ticket's mask at this level, also for a control, which derives its own; None at level 0.
        rewind: W_k of the dense network, all tensors, unmasked; None at level 0.
    """

    lineage: LineageSpec
    level: int
    mask: Mask | None = None
    rewind: Weights | None = None


@dataclass(frozen=True)
class LevelResult:
    """What one level leaves behind.

    Attributes:
        core: The manifest's core without `key`, `parent` and `mask_from`, which the caller adds.
        mask: What was trained: ones at level 0, the control's own mask for a control.
        next_mask: The next level's mask for a ticket's chain from level 1 on. None for controls, and at level 0,
            which prune settings share.
        rewind: W_k at level 0; above, the unmasked weights the level started from.
        final: Weights at the end.
        curves: `curves.jsonl`.
    """

    core: dict[str, Any]
    mask: Mask
    next_mask: Mask | None
    rewind: Weights
    final: Weights
    curves: bytes


def train_level(
    task: LevelTask,
    data: TensorData,
    *,
    on_progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> LevelResult:
    """Compute one level: the same bits for the same task in the same environment.

    Args:
        task: Lineage, level, mask and rewind weights.
        data: The data set on the device that trains.
        on_progress: Hears the steps done, at every evaluation and about four times a second.
        should_stop: Asked as often, and at least every 50 steps.

    Raises:
        UserError: If the task does not fit the data, or cannot be computed as it stands.
        NonFiniteError: If the training diverges.
        LevelCancelled: If `should_stop` said so.
    """
    _check(task, data)
    lineage = task.lineage
    pin(lineage.threads)
    pulse = Pulse(on_progress, should_stop)
    tensors = lineage.tensors()
    k = lineage.rewind.step
    if task.level == 0:
        mask = full_mask(tensors)
        source = glorot_normal(tensors, random.seed_key(lineage.replicate, "init"))
        trained = train(lineage, data, source, None, first_step=0, record_at=k, pulse=pulse)
        assert trained.recorded is not None
        rewind = trained.recorded
    else:
        assert task.mask is not None
        assert task.rewind is not None
        mask, source = starting_point(lineage, task.level, task.mask, check_weights(task.rewind, tensors))
        trained = train(lineage, data, source, mask, first_step=k, record_at=None, pulse=pulse)
        rewind = source
    chains = lineage.treatment == WINNING_TICKET and task.level > 0
    following = next_mask(lineage, mask, trained.final) if chains else None
    core = level_core(
        lineage,
        task.level,
        mask=mask,
        next_mask=following,
        rewind=rewind,
        rewind_max_abs_err=_rewind_error(trained, source, mask),
        final=trained.final,
        curves=trained.curves,
        normalisation=data.normalisation,
        validation_sha256=trained.validation_sha256,
    )
    return LevelResult(core, mask, following, rewind, trained.final, trained.curves.to_jsonl())


def _check(task: LevelTask, data: TensorData) -> None:
    lineage = task.lineage
    info = (data.info.name, data.info.digest, data.info.shape, data.info.num_classes)
    wanted = (lineage.dataset_name, lineage.dataset_digest, lineage.in_shape, lineage.num_classes)
    if info != wanted:
        raise UserError(f"the lineage is defined on data {wanted}, got {info}")
    if data.device.type != lineage.device_class:
        raise UserError(f"the lineage is defined for {lineage.device_class}, the data lies on {data.device}")
    if (task.level == 0) != (task.mask is None) or (task.level == 0) != (task.rewind is None):
        raise UserError(f"level {task.level} must have mask and rewind weights exactly if it is not level 0")
    if task.level == 0 and lineage.treatment != WINNING_TICKET:
        raise UserError(f"{lineage.treatment} is a control and begins at level 1")
    num_fit = data.info.num_train - num_validation(data.info.num_train)
    if lineage.train.batch_size > num_fit:
        raise UserError(f"batch_size must be <= the {num_fit} training examples, got {lineage.train.batch_size}")


def _rewind_error(trained: Trained, source: Weights, mask: Mask) -> float:
    """Return the largest |start - mask * source| over all tensors, as the first step found them."""
    errors = [0.0]
    for name, start in trained.start.items():
        expected = np.where(mask[name], source[name], np.float32(0)) if name in mask else source[name]
        if start.size:
            errors.append(float(np.max(np.abs(start - expected))))
    return max(errors)
