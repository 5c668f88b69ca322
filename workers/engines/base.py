"""What an engine is: slots that levels are admitted into, trained in segments, and collected from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lth_core.data import TensorData
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.level import LevelResult
from lth_core.level_task import LevelTask


@dataclass(frozen=True)
class Finished:
    """A level that left its slot.

    Attributes:
        slot: The name under which it was admitted.
        result: What it left behind, None if it failed.
        error: Why it failed, None if it did not.
    """

    slot: str
    result: LevelResult | None
    error: Exception | None


class Engine(Protocol):
    """Trains levels in slots; `run` is called by one thread, `cancel` and `progress` by any other."""

    @property
    def capacity(self) -> int:
        """How many levels it trains at once."""

    def admit(self, slot: str, task: LevelTask, data: TensorData, checkpoint: Checkpoint | None = None) -> None:
        """Take a level into a free slot, to be trained by the next calls of `run`, on from a checkpoint if given one.

        Raises:
            RuntimeError: If no slot is free.
        """

    def run(self) -> None:
        """Train everything admitted for one segment; new levels come in between segments."""

    def collect(self) -> list[Finished]:
        """Return the levels that ended since the last call, and free their slots."""

    def checkpoint(self, slot: str) -> Checkpoint | None:
        """Return how far a level is; asked between two calls of `run` by the thread that calls it."""

    def cancel(self, slot: str) -> None:
        """Stop a level at its next batch; it is collected with `LevelCancelled`."""

    def progress(self) -> Mapping[str, int]:
        """Optimizer steps done, by slot."""

    def fingerprint(self, engine: EngineKind) -> dict[str, object]:
        """The environment in which the bits of a kind of engine are equal; asked by the thread that calls `run`."""
