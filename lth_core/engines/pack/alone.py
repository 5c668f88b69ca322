"""One plan alone in a pack: the same bits as among others, behind the interface of a single training."""

from __future__ import annotations

from lth_core.data import TensorData
from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.engines.pack.pack import Pack
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.shape import PackShape
from lth_core.pulse import Pulse

_NAME = "alone"
SEGMENT_STEPS = 500


class PackTraining:
    """One plan under way; the interface is `lth_core.engines.base.Training`.

    Args:
        plan: What is trained.
        data: The data set, on the device that trains.
        pulse: Hears of every segment and evaluation, and may end the training.
        checkpoint: Where to go on; None begins.
        num_slots: Slots of the pack, of which one is used.

    Raises:
        NonFiniteError: If the loss at the start is not finite.
        LevelCancelled: If the caller asked to stop.
        ValueError: If weights, mask or the optimizer's state do not fit the network, or the plan asks for what only
            the reference does.
    """

    engine: EngineKind = "pack"

    def __init__(
        self,
        plan: Plan,
        data: TensorData,
        pulse: Pulse,
        checkpoint: Checkpoint | None = None,
        *,
        num_slots: int = 1,
    ) -> None:
        self._pack = Pack(
            PackShape.of(plan), data, ResidentData.of(data), num_slots=num_slots, segment_steps=SEGMENT_STEPS
        )
        self._pack.admit(_NAME, plan, pulse, checkpoint)
        self._slot = self._pack.taken[0]
        self._run(0)

    @property
    def step(self) -> int:
        """Updates done, those before `first_step` counted."""
        return self._slot.step

    def advance(self, until: int) -> None:
        """Train on to `until` updates; errors as the interface says."""
        while self.step < until:
            self._run(until - self.step)

    def finish(self) -> Trained:
        """Return what the training left behind; errors as the interface says."""
        trained = self._pack.done[_NAME]
        assert isinstance(trained, Trained)
        return trained

    def checkpoint(self) -> Checkpoint:
        """Return everything that is needed to go on from here."""
        return self._slot.checkpoint()

    def _run(self, num_steps: int) -> None:
        self._pack.run_segment(num_steps)
        ended = self._pack.done.get(_NAME)
        if isinstance(ended, Exception):
            raise ended
