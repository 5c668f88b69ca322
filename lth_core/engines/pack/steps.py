"""What a pack asks of its arithmetic: one step of training, and one batch of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lth_core.engines.base import Plan
from lth_core.engines.pack.moments import Moments
from lth_core.engines.pack.source import Source
from lth_core.engines.pack.state import Clock


@dataclass(frozen=True)
class Stretch:
    """Steps of one slot that follow each other."""

    slot: int
    first: int
    num_steps: int


class Steps(Protocol):
    """The arithmetic of a pack. `train` and `judge` are bodies of programs and end by ticking their clock.

    Attributes:
        max_steps: Steps that may follow one call of `ready`.
        moments: What the optimizer remembers of every slot.
    """

    max_steps: int

    @property
    def moments(self) -> Moments: ...

    def admit(self, slot: int, plan: Plan) -> None:
        """Take note of what a slot trains from now on."""

    def ready(self, position: int, stretches: Sequence[Stretch]) -> None:
        """Make what the next steps read beside the state.

        Args:
            position: Steps done of the segment.
            stretches: Which steps of which slots come next, side by side.
        """

    def train(self) -> None:
        """Take one step with every slot whose clock runs."""

    def judge(self, source: Source, clock: Clock) -> None:
        """Note summed losses and counts of one batch, of every slot whose clock runs; changes no state."""
