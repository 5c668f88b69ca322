"""Random streams by name: those that order and augment the data, those of controls, and all seeds of a level."""

from __future__ import annotations

from dataclasses import dataclass

from lth_core import random
from lth_core.expansion import WINNING_TICKET, LineageSpec
from lth_core.treatments import Treatment

_DRAWS_NOTHING = frozenset({"signed_constant", "invert_scores", "magnitude_at_init", "frozen", "reset", "reordered"})
"""Treatments without a random stream of their own; `reordered` has others for order and augmentation."""


@dataclass(frozen=True)
class Streams:
    """The purposes whose seeds order and augment the training data; a control with other names sees other batches."""

    order: str = "order"
    augment: str = "augment"


def purpose(lineage: LineageSpec) -> str:
    """Return the name of a control's own random stream, label and number of the draw: `noise[sigma=3.0]:0`."""
    return f"{lineage.treatment}:{lineage.repeat}"


def streams_of(lineage: LineageSpec) -> Streams:
    """Return which seeds order and augment a lineage's data: those of its replicate, or of the `reordered` draw."""
    if lineage.treatment != "reordered":
        return Streams()
    return Streams(order=f"order:{purpose(lineage)}", augment=f"augment:{purpose(lineage)}")


def seeds_of(lineage: LineageSpec, level: int) -> dict[str, str]:
    """Return the 64-bit seeds that entered a level, as 16 hexadecimal digits each."""
    streams = streams_of(lineage)
    purposes = {"init": "init", "split": "split", "order": streams.order}
    if lineage.train.flip or lineage.train.crop_padding:
        purposes["augment"] = streams.augment
    if lineage.model.dropout or lineage.model.arch is not None:
        purposes["dropout"] = "dropout"
    is_control = lineage.treatment != WINNING_TICKET
    if level and is_control and Treatment.of_label(lineage.treatment).name not in _DRAWS_NOTHING:
        purposes["control"] = purpose(lineage)
    if level and lineage.method == "random_at_init":
        purposes["method"] = "random_at_init"
    if level and lineage.prune.criterion == "random" and lineage.method in ("imp", "one_shot"):
        purposes["criterion"] = "criterion"
    return {name: f"{random.seed_key(lineage.replicate, stream):016x}" for name, stream in purposes.items()}
