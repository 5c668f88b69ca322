"""Random streams by name: which seeds order and augment the data, and which one a control draws from."""

from __future__ import annotations

from dataclasses import dataclass

from lth_core.expansion import LineageSpec


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
