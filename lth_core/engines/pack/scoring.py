"""Evaluation of a pack: validation and test set, for all slots that are due at once."""

from __future__ import annotations

from lth_core.data import TensorData
from lth_core.engines.pack.graphs import Program
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.slot import Slot
from lth_core.engines.pack.source import Source, test_source, validation_source
from lth_core.engines.pack.state import Clock
from lth_core.engines.pack.steps import Steps
from lth_core.evaluation import Score
from lth_core.expansion import num_validation
from lth_core.measuring import Part


class Scoring:
    """The evaluations of a pack, each a program with a clock of its own.

    Attributes:
        validation: The validation examples; every slot chooses its own.

    Args:
        steps: The pack's arithmetic.
        resident: The data set as bytes.
        data: The data set.
        num_slots: Slots of the pack.
    """

    def __init__(self, steps: Steps, resident: ResidentData, data: TensorData, num_slots: int) -> None:
        self.validation = validation_source(resident, num_slots, num_validation(data.info.num_train))
        test = test_source(resident, num_slots)
        self._num_slots = num_slots
        self._parts = {"validation": _Part(steps, self.validation, num_slots), "test": _Part(steps, test, num_slots)}

    def prepare(self, slots: list[Slot], part: Part) -> None:
        """Score several slots on one part, and leave each its own."""
        if slots:
            for slot, score in zip(slots, self._parts[part].run([slot.place for slot in slots]), strict=True):
                slot.prepared(part, score)

    def score_one(self, place: int, part: Part) -> Score:
        """Score one slot as it stands."""
        return self._parts[part].run([place])[0]


class _Part:
    def __init__(self, steps: Steps, source: Source, num_slots: int) -> None:
        self._source = source
        self._clock = Clock(source.num_batches, num_slots, source.labels.device)
        self._program = Program(lambda: steps.judge(source, self._clock), self._clock, unroll=source.num_batches)

    def run(self, places: list[int]) -> list[Score]:
        """Return the scores of some slots: sums over batches in double, in their order."""
        num_batches, num = self._source.num_batches, self._source.num_examples
        limits = [num_batches if place in places else 0 for place in range(len(self._clock.limit))]
        self._clock.start(limits)
        self._program.run(num_batches)
        losses, correct = self._clock.losses.cpu(), self._clock.correct.cpu()
        found = []
        for place in places:
            total = 0.0
            for loss in losses[:, place].tolist():
                total += loss
            found.append(Score(loss=total / num, accuracy=int(correct[:, place].sum()) / num))
        return found
