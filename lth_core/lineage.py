"""A lineage, as the papers tell it: train, prune, rewind, repeat. One level at a time, no input or output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lth_core.data import TensorData
from lth_core.expansion import LineageSpec
from lth_core.level import LevelResult, train_level
from lth_core.level_task import task_of
from lth_core.masks import Mask
from lth_core.names import FROM_LEVEL_0
from lth_core.optimizers import OptimizerState
from lth_core.transfer import Ticket
from lth_core.treatments import Treatment
from lth_core.weights import Weights


@dataclass(frozen=True)
class Resume:
    """Where a chain goes on.

    Attributes:
        level: The first level that is missing.
        mask: Its mask, None where it is found from the dense network.
        rewind: W_k of the dense network.
        dense_final: W_T of the dense network, for masks that follow from it.
        carried: W_T of the level before, for chains that keep their trained weights.
        optimizer: The dense network's optimizer state after step k, for chains that restore it.
    """

    level: int
    mask: Mask | None
    rewind: Weights
    dense_final: Weights | None = None
    carried: Weights | None = None
    optimizer: OptimizerState | None = None


def run_lineage(
    lineage: LineageSpec,
    data: TensorData,
    num_levels: int,
    *,
    resume: Resume | None = None,
    origin: Ticket | None = None,
) -> Iterator[LevelResult]:
    """Find tickets: train the network, choose what to prune, rewind the rest, and again.

    What is pruned follows from the trained weights of the level before (`imp`), from the dense network alone (one-shot
    pruning and pruning at initialisation), from training under a tightening mask (gradual), or from elsewhere
    (transfer); the survivors go back to W_k, or keep their trained weights (learning-rate rewinding, fine-tuning).

    Args:
        lineage: A chain with treatment `winning_ticket`.
        data: Its data set.
        num_levels: Levels in all, level 0 counted; a chain ends before if a layer has lost its last weight.
        resume: Where to go on; None begins with the dense network.
        origin: The transferred ticket.

    Yields:
        Each level when it is trained; the caller decides what to save, and may stop.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, section 1 and appendix B, strategy 1; with `rewind.step` > 0
        Frankle et al. 2019, arXiv:1903.01611; the other ways as in `lth_core.level.beginning`.
    """
    if resume is None:
        dense = train_level(task_of(lineage, 0, origin=origin), data)
        yield dense
        resume = Resume(1, None, dense.rewind, dense.final, dense.final, dense.optimizer)
    mask, carried = resume.mask, resume.carried
    for level in range(resume.level, num_levels):
        task = task_of(
            lineage,
            level,
            mask=mask,
            rewind=resume.rewind,
            dense_final=resume.dense_final,
            carried=carried,
            optimizer=resume.optimizer,
            origin=origin,
        )
        trained = train_level(task, data)
        yield trained
        if trained.core["collapsed"]:
            return
        mask, carried = trained.next_mask, trained.final


def run_control(
    lineage: LineageSpec,
    data: TensorData,
    masks: Iterable[tuple[int, Mask]],
    rewind: Weights,
    *,
    finals: Mapping[int, Weights] | None = None,
    optimizer: OptimizerState | None = None,
) -> Iterator[LevelResult]:
    """Train what a control puts in the place of each ticket.

    Args:
        lineage: A control.
        data: Its data set.
        masks: (level, the ticket's mask) of its `winning_ticket` chain, levels from 1.
        rewind: W_k of the dense network.
        finals: W_T of the chain's levels, for controls that look at it: of level 0 for `invert_scores`, of all levels
            for `identity` where the chain keeps its trained weights.
        optimizer: The dense network's optimizer state after step k, where it is restored.

    Yields:
        Each level when it is trained; a control that is also trained dense begins with its level 0.
    """
    finals = finals or {}
    if Treatment.of_label(lineage.treatment).name in FROM_LEVEL_0:
        yield train_level(task_of(lineage, 0, rewind=rewind, optimizer=optimizer), data)
    for level, mask in masks:
        task = task_of(
            lineage,
            level,
            mask=mask,
            rewind=rewind,
            dense_final=finals.get(0),
            carried=finals.get(level - 1),
            optimizer=optimizer,
        )
        yield train_level(task, data)
