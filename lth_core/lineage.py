"""A lineage, as the paper tells it: train, prune, rewind, repeat. One level at a time, no input or output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lth_core.data import TensorData
from lth_core.expansion import LineageSpec
from lth_core.level import LevelResult, LevelTask, train_level
from lth_core.masks import Mask
from lth_core.pruning import next_mask
from lth_core.weights import Weights


@dataclass(frozen=True)
class Resume:
    """Where a chain goes on: the first level that is missing, its mask, and W_k of the dense network."""

    level: int
    mask: Mask
    rewind: Weights


def run_lineage(
    lineage: LineageSpec, data: TensorData, num_levels: int, *, resume: Resume | None = None
) -> Iterator[LevelResult]:
    """Find tickets: train the network, prune the smallest weights, rewind the others, and again.

    Args:
        lineage: A chain with treatment `winning_ticket`.
        data: Its data set.
        num_levels: Levels in all, level 0 counted; a chain ends before if a layer has lost its last weight.
        resume: Where to go on; None begins with the dense network.

    Yields:
        Each level when it is trained; the caller decides what to save, and may stop.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, section 1 and appendix B, strategy 1; with `rewind.step` > 0
        Frankle et al. 2019, arXiv:1903.01611.
    """
    if resume is None:
        dense = train_level(LevelTask(lineage, 0), data)
        yield dense
        resume = Resume(1, next_mask(lineage, None, dense.final), dense.rewind)
    mask, rewind = resume.mask, resume.rewind
    for level in range(resume.level, num_levels):
        trained = train_level(LevelTask(lineage, level, mask, rewind), data)
        yield trained
        if trained.core["collapsed"]:
            return
        assert trained.next_mask is not None
        mask = trained.next_mask


def run_control(
    lineage: LineageSpec, data: TensorData, masks: Iterable[tuple[int, Mask]], rewind: Weights
) -> Iterator[LevelResult]:
    """Train what a control puts in the place of each ticket.

    Args:
        lineage: A control.
        data: Its data set.
        masks: (level, the ticket's mask) of its `winning_ticket` chain, levels from 1.
        rewind: W_k of the dense network.

    Yields:
        Each level when it is trained.
    """
    for level, mask in masks:
        yield train_level(LevelTask(lineage, level, mask, rewind), data)
