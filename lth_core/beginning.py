"""Where the training of a level begins: under which mask, with which weights, at which step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lth_core import random
from lth_core.controls import starting_point
from lth_core.data import TensorData
from lth_core.expansion import WINNING_TICKET
from lth_core.gradual import Tightening
from lth_core.initialisation import glorot_normal
from lth_core.level_task import LevelTask
from lth_core.masks import Mask, full_mask
from lth_core.methods import find_mask
from lth_core.schedules import learning_rate
from lth_core.streams import Streams
from lth_core.transfer import transferred_mask, transferred_weights
from lth_core.weights import Weights, check_weights


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
