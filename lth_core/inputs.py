"""What a level starts from: the one place that says how blobs flow from committed levels into later ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lth_core.expansion import WINNING_TICKET, LineageSpec, PlannedLineage
from lth_core.names import AT_INIT

InputName = Literal["mask", "rewind", "dense_final", "carried", "optimizer"]
"""As the fields of `LevelTask`: a mask, W_k, W_T of the dense network, W_T of the level before, optimizer state."""


@dataclass(frozen=True)
class Place:
    """Where an input lies: a blob of a committed level.

    Attributes:
        key: Key under which the level lies.
        level: Its number.
        blob: Name of the blob in its manifest.
    """

    key: str
    level: int
    blob: str


def needed(lineage: LineageSpec, level: int) -> frozenset[InputName]:
    """Return which inputs a level must be given.

    The dense network needs none. Every other level needs W_k, and the optimizer's state of step k where the
    lineage restores it. A chain that iterates is given the mask that the level before handed on, and finds its first
    one from W_T of the dense network, as one-shot pruning does at every level; other methods find their masks from
    W_k. A control is given its ticket's mask. Only chains that keep their trained weights, and identity controls of
    them, are given W_T of the level before.
    """
    is_chain = lineage.treatment == WINNING_TICKET
    if level == 0 and is_chain:
        return frozenset()
    found: set[InputName] = {"rewind"}
    if lineage.rewind.optimizer == "restore":
        found.add("optimizer")
    if level == 0:
        return frozenset(found)
    if not is_chain or (lineage.method == "imp" and level > 1):
        found.add("mask")
    if _ranks_dense_weights(lineage, level):
        found.add("dense_final")
    if lineage.rewind.mode != "weights" and lineage.treatment in (WINNING_TICKET, "identity"):
        found.add("carried")
    return frozenset(found)


def needs_origin(lineage: LineageSpec, level: int) -> bool:
    """Tell whether a level is given the transferred ticket: its weights at level 0, its mask at level 1."""
    return lineage.method == "transfer" and lineage.treatment == WINNING_TICKET and level <= 1


def inputs_of(plan: PlannedLineage, level: int) -> dict[InputName, Place]:
    """Return where each input of a level lies; the level can be trained once all of these levels are committed."""
    chain_key = plan.source_key or plan.key
    is_chain = plan.source_key is None
    places: dict[InputName, Place] = {
        "rewind": Place(plan.dense_key, 0, "rewind"),
        "optimizer": Place(plan.dense_key, 0, "optimizer"),
        "dense_final": Place(plan.dense_key, 0, "final"),
        "mask": Place(chain_key, level - 1, "next_mask") if is_chain else Place(chain_key, level, "mask"),
        "carried": Place(chain_key if level > 1 else plan.dense_key, level - 1, "final"),
    }
    wanted = needed(plan.spec, level)
    return {name: place for name, place in places.items() if name in wanted}


def parent_of(plan: PlannedLineage, level: int) -> tuple[str, int] | None:
    """Return key and number of the level that stands before one in the record; None for the dense level."""
    if level == 0:
        return None if plan.source_key is None else (plan.dense_key, 0)
    return plan.key_of_level(level - 1), level - 1


def _ranks_dense_weights(lineage: LineageSpec, level: int) -> bool:
    """Tell whether a level's mask follows from the dense network's trained weights."""
    if lineage.treatment == "invert_scores":
        return lineage.method not in AT_INIT
    return lineage.treatment == WINNING_TICKET and (
        lineage.method == "one_shot" or (lineage.method == "imp" and level == 1)
    )
