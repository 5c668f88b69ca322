"""One level of one lineage, the unit of everything: masks and weights in, a trained network and its record out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lth_core import random
from lth_core.controls import starting_point
from lth_core.data import TensorData
from lth_core.determinism import pin
from lth_core.errors import UserError
from lth_core.expansion import WINNING_TICKET, LineageSpec, num_validation
from lth_core.gradual import Tightening
from lth_core.initialisation import glorot_normal
from lth_core.inputs import needed, needs_origin
from lth_core.manifest import level_core
from lth_core.masks import Mask, full_mask
from lth_core.methods import find_mask
from lth_core.names import FROM_LEVEL_0
from lth_core.optimizers import OptimizerState
from lth_core.pruning import next_mask
from lth_core.pulse import Pulse
from lth_core.schedules import learning_rate
from lth_core.streams import Streams
from lth_core.training import Trained, train
from lth_core.transfer import Ticket, transferred_mask, transferred_weights
from lth_core.treatments import Treatment
from lth_core.weights import Weights, check_weights


@dataclass(frozen=True)
class LevelTask:
    """What an engine is asked to compute; `lth_core.inputs.needed` says which inputs a level must be given.

    Attributes:
        lineage: The lineage, complete.
        level: 0 for the dense network, n after n prunings.
        mask: The mask to train under, from the level before or, for a control, of its ticket. A chain that is given
            none finds its own.
        rewind: W_k of the dense network, all tensors, unmasked.
        dense_final: W_T of the dense network, where the mask follows from it.
        carried: W_T of the level before, where training goes on from it.
        optimizer: The dense network's optimizer state after step k, where it is restored.
        origin: The transferred ticket.
    """

    lineage: LineageSpec
    level: int
    mask: Mask | None = None
    rewind: Weights | None = None
    dense_final: Weights | None = None
    carried: Weights | None = None
    optimizer: OptimizerState | None = None
    origin: Ticket | None = None

    @property
    def is_dense(self) -> bool:
        """Whether it is the dense network, from which all else follows."""
        return self.level == 0 and self.lineage.treatment == WINNING_TICKET


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
        optimizer: The dense network's optimizer state after step k, where later levels restore it.
    """

    core: dict[str, Any]
    mask: Mask
    next_mask: Mask | None
    rewind: Weights
    final: Weights
    curves: bytes
    optimizer: OptimizerState | None = None


@dataclass(frozen=True)
class Beginning:
    """Where a training begins.

    Attributes:
        mask: What is kept; None for the dense network, and where a mask tightens from there on.
        weights: All tensors, unmasked.
        first_step: Updates that count as done.
        held: Whether pruned weights keep the values they start with instead of zero.
        streams: What orders and augments the training data.
        tightening: Removes more weights on the way.
        rate: The learning rate of a step, where it is not the schedule's.
    """

    mask: Mask | None
    weights: Weights
    first_step: int = 0
    held: bool = False
    streams: Streams = field(default_factory=Streams)
    tightening: Tightening | None = None
    rate: Callable[[int], float] | None = None


def train_level(
    task: LevelTask,
    data: TensorData,
    *,
    on_progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> LevelResult:
    """Compute one level: the same bits for the same task in the same environment.

    Args:
        task: Lineage, level, and what it starts from.
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
    begin = beginning(task, data)
    trained = train(
        lineage,
        data,
        begin.weights,
        begin.mask,
        first_step=begin.first_step,
        record_at=lineage.rewind.step if task.is_dense else None,
        pulse=Pulse(on_progress, should_stop),
        held=begin.held,
        tightening=begin.tightening,
        optimizer_state=task.optimizer,
        record_optimizer=task.is_dense and lineage.rewind.optimizer == "restore",
        rate=begin.rate,
        streams=begin.streams,
    )
    mask = full_mask(lineage.tensors()) if trained.mask is None else trained.mask
    rewind = trained.recorded if task.is_dense else begin.weights
    assert rewind is not None
    following = _next_mask(task, mask, trained)
    core = level_core(
        lineage,
        task.level,
        mask=mask,
        next_mask=following,
        rewind=rewind,
        rewind_max_abs_err=_rewind_error(trained, begin),
        final=trained.final,
        curves=trained.curves,
        normalisation=data.normalisation,
        validation_sha256=trained.validation_sha256,
        optimizer=trained.recorded_optimizer,
    )
    curves = trained.curves.to_jsonl()
    return LevelResult(core, mask, following, rewind, trained.final, curves, trained.recorded_optimizer)


def beginning(task: LevelTask, data: TensorData | None) -> Beginning:
    """Return where a level begins: what is kept, with which weights, at which step.

    Args:
        task: The level.
        data: The data set, from which some methods score weights; None where nothing is to be scored by it.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, section 1 (resetting), appendix B (continued training); Frankle et al.
        2020, arXiv:1912.05671, section 4 (rewinding to step k); Renda et al. 2020, arXiv:2003.02389, sections 2 and 3
        (learning-rate rewinding and fine-tuning); Zhu & Gupta 2017, arXiv:1710.01878 (gradual pruning).
    """
    lineage = task.lineage
    if task.is_dense:
        return Beginning(None, _initial_weights(task))
    tensors, k = lineage.tensors(), lineage.rewind.step
    assert task.rewind is not None
    rewind = check_weights(task.rewind, tensors)
    if lineage.treatment not in (WINNING_TICKET, "identity"):
        source = full_mask(tensors) if task.level == 0 else task.mask
        assert source is not None
        found = starting_point(lineage, task.level, source, rewind, dense_final=task.dense_final, data=data)
        return Beginning(found.mask, found.weights, k, held=found.held, streams=found.streams)
    if lineage.method == "gradual":
        return Beginning(None, rewind, k, tightening=Tightening(lineage, task.level))
    mask = task.mask if task.mask is not None else _found_mask(task, rewind, data)
    if lineage.rewind.mode == "weights":
        return Beginning(mask, rewind, k)
    assert task.carried is not None
    last = learning_rate(lineage.train, lineage.train.steps - 1)
    rate = (lambda step: last) if lineage.rewind.mode == "fine_tune" else None  # noqa: ARG005
    return Beginning(mask, check_weights(task.carried, tensors), k, rate=rate)


def task_of(lineage: LineageSpec, level: int, **available: Any) -> LevelTask:
    """Make the task of a level from all inputs at hand, by their names in `LevelTask`; it gets those that it needs."""
    names = set(needed(lineage, level)) | ({"origin"} if needs_origin(lineage, level) else set())
    if available.get("mask") is not None and names:
        found_by = {"dense_final", "origin"} if lineage.treatment == WINNING_TICKET else set()
        names = (names | {"mask"}) - found_by
    return LevelTask(lineage, level, **{name: available.get(name) for name in names})


def _initial_weights(task: LevelTask) -> Weights:
    """Return W_0 of the dense network: drawn by the replicate's seed, or the transferred ticket's."""
    lineage = task.lineage
    if task.origin is not None and lineage.origin is not None:
        return transferred_weights(lineage, lineage.origin, task.origin.weights)
    return glorot_normal(lineage.tensors(), random.seed_key(lineage.replicate, "init"))


def _found_mask(task: LevelTask, rewind: Weights, data: TensorData | None) -> Mask:
    """Return the mask of a level that was given none."""
    lineage = task.lineage
    if task.origin is not None and lineage.origin is not None:
        return transferred_mask(lineage, lineage.origin, task.origin.mask)
    assert data is not None
    return find_mask(lineage, task.level, rewind=rewind, dense_final=task.dense_final, data=data)


def _next_mask(task: LevelTask, mask: Mask, trained: Trained) -> Mask | None:
    lineage = task.lineage
    if task.level == 0 or lineage.treatment != WINNING_TICKET or lineage.method != "imp":
        return None
    assert task.rewind is not None
    return next_mask(lineage, mask, trained.final, rewind=task.rewind, level=task.level)


def _check(task: LevelTask, data: TensorData) -> None:
    lineage = task.lineage
    info = (data.info.name, data.info.digest, data.info.shape, data.info.num_classes)
    wanted = (lineage.dataset_name, lineage.dataset_digest, lineage.in_shape, lineage.num_classes)
    if info != wanted:
        raise UserError(f"the lineage is defined on data {wanted}, got {info}")
    if data.device.type != lineage.device_class:
        raise UserError(f"the lineage is defined for {lineage.device_class}, the data lies on {data.device}")
    num_fit = data.info.num_train - num_validation(data.info.num_train)
    if lineage.train.batch_size > num_fit:
        raise UserError(f"batch_size must be <= the {num_fit} training examples, got {lineage.train.batch_size}")
    _check_inputs(task)


def _check_inputs(task: LevelTask) -> None:
    lineage, level = task.lineage, task.level
    is_control = lineage.treatment != WINNING_TICKET
    if level == 0 and is_control and Treatment.of_label(lineage.treatment).name not in FROM_LEVEL_0:
        raise UserError(f"{lineage.treatment} is a control and begins at level 1")
    if lineage.method == "transfer" and lineage.origin is None:
        raise UserError("method transfer needs the ticket that is transferred")
    wanted: set[str] = {*needed(lineage, level)} | ({"origin"} if needs_origin(lineage, level) else set())
    names = ("mask", "rewind", "dense_final", "carried", "optimizer", "origin")
    given = {name for name in names if getattr(task, name) is not None}
    if not is_control and level > 0 and "mask" in given:  # found before: nothing to find it from is needed
        wanted, given = wanted - {"mask", "dense_final", "origin"}, given - {"mask"}
    if given != wanted:
        raise UserError(f"level {level} of {lineage.treatment} starts from {sorted(wanted)}, got {sorted(given)}")


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
