"""Where a level starts, in words for its manifest: weights, step, schedule position and optimizer state."""

from __future__ import annotations

from typing import Any

from lth_core.expansion import WINNING_TICKET, LineageSpec
from lth_core.labels import Label, label_of
from lth_core.treatments import Treatment

_DRAWN = frozenset({"random_reinit", "random_sparse"})
_MADE_OF_REWIND = frozenset({"reuse", "reuse_sign", "signed_constant", "noise"})


def start_document(lineage: LineageSpec, level: int) -> dict[str, Any]:
    """Return where a level's training starts.

    Returns:
        `weights`: whose values the survivors have; `pruned`: what stands in the other places; `step`: updates that
        count as done; `schedule_step`: position in the learning-rate schedule, None where the rate is constant;
        `schedule`: whether the rates are those of the dense network; `optimizer`: its state.
    """
    is_dense = level == 0 and lineage.treatment == WINNING_TICKET
    step = 0 if is_dense else lineage.rewind.step
    is_constant = _carries(lineage, level) and lineage.rewind.mode == "fine_tune"
    restored = lineage.rewind.optimizer == "restore" and not is_dense
    return {
        "weights": _weights(lineage, level, is_dense=is_dense),
        "pruned": f"held at W_{step}" if lineage.treatment == "frozen" else "zero",
        "step": step,
        "schedule_step": None if is_constant else step,
        "schedule": "constant at its last rate" if is_constant else "replayed",
        "optimizer": f"restored from step {step}" if restored else "fresh",
    }


def level_label(lineage: LineageSpec, level: int) -> Label | None:
    """Return what a level's network is called; None for the dense network and for controls.

    `reset` and `identity` are the ticket itself: the first as its mask with W_k, the second as it is.
    """
    if level == 0 or lineage.treatment not in (WINNING_TICKET, "identity", "reset"):
        return None
    if lineage.treatment == "reset":
        return "matching" if lineage.rewind.step else "winning"
    return label_of(lineage)


def _weights(lineage: LineageSpec, level: int, *, is_dense: bool) -> str:
    rewind = f"W_{lineage.rewind.step}"
    if is_dense:
        return "W_0" if lineage.origin is None else "the transferred ticket's"
    if _carries(lineage, level):
        return f"W_T of level {level - 1}"
    if lineage.treatment == WINNING_TICKET:
        return rewind
    name = Treatment.of_label(lineage.treatment).name
    if name in _DRAWN:
        return f"drawn afresh by {lineage.treatment}"
    return f"{lineage.treatment} of {rewind}" if name in _MADE_OF_REWIND else rewind


def _carries(lineage: LineageSpec, level: int) -> bool:
    """Tell whether a level starts from trained weights of the level before it."""
    own = lineage.treatment in (WINNING_TICKET, "identity")
    return level > 0 and own and lineage.rewind.mode != "weights"
