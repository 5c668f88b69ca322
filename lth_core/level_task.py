"""What an engine is asked to compute: one level of one lineage, with all that it starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lth_core.data import TensorData
from lth_core.errors import UserError
from lth_core.expansion import WINNING_TICKET, LineageSpec, num_validation
from lth_core.inputs import needed, needs_origin
from lth_core.masks import Mask
from lth_core.names import FROM_LEVEL_0
from lth_core.optimizers import OptimizerState
from lth_core.transfer import Ticket
from lth_core.treatments import Treatment
from lth_core.weights import Weights


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


def task_of(lineage: LineageSpec, level: int, **available: Any) -> LevelTask:
    """Make the task of a level from all inputs at hand, by their names in `LevelTask`; it gets those that it needs."""
    names = set(needed(lineage, level)) | ({"origin"} if needs_origin(lineage, level) else set())
    if available.get("mask") is not None and names:
        found_by = {"dense_final", "origin"} if lineage.treatment == WINNING_TICKET else set()
        names = (names | {"mask"}) - found_by
    return LevelTask(lineage, level, **{name: available.get(name) for name in names})


def check_task(task: LevelTask, data: TensorData) -> None:
    """Refuse a level that does not fit the data, or is not given what it starts from.

    Raises:
        UserError: Naming what does not fit.
    """
    lineage = task.lineage
    info = (data.info.name, data.info.digest, data.info.shape, data.info.num_classes)
    wanted = (lineage.dataset_name, lineage.dataset_digest, lineage.in_shape, lineage.num_classes)
    if info != wanted:
        raise UserError(f"the lineage is defined on data {wanted}, got {info}")
    if data.normalisation.kind != lineage.normalisation:
        given = data.normalisation.kind
        raise UserError(f"the lineage is defined on data of normalisation {lineage.normalisation}, got {given}")
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
