"""One training in its slot of a pack: what the host knows of it between two steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.engines.course import Course, resumed
from lth_core.engines.pack.layout import apart, buffers, parameters
from lth_core.engines.pack.loading import Contents, beginning, continuation
from lth_core.engines.pack.moments import Moments
from lth_core.engines.pack.rates import Rates
from lth_core.engines.pack.shape import MOMENT_NAMES, optimizer_kind
from lth_core.engines.pack.state import PackState
from lth_core.evaluation import Score
from lth_core.measuring import Part, Window
from lth_core.optimizers import OptimizerState
from lth_core.pulse import Pulse
from lth_core.weights import Array, Weights

ENGINE: EngineKind = "pack"


class Slot:
    """A plan in a slot. It is what the judge evaluates, too: scores come from the pack, all slots at once.

    Making one writes its row of the state. It begins with an evaluation that the pack has to ask for, unless it goes on
    from a checkpoint.

    Attributes:
        place: Which slot.
        name: The caller's name for the training.
        plan: What is trained.
        pulse: Hears of every segment and evaluation, and may end the training.
        rates: What scales its updates.

    Args:
        place: Which slot.
        name: The caller's name.
        plan: What is trained.
        pulse: Hears of it.
        state: The pack's state.
        moments: What the pack's optimizer remembers.
        score: Evaluates one slot on a part of the data.
        validation_sha256: Digest of the validation indices.
        checkpoint: Where to go on; None begins.

    Raises:
        ValueError: If weights, mask or the optimizer's state do not fit the network.
    """

    def __init__(
        self,
        place: int,
        name: str,
        plan: Plan,
        pulse: Pulse,
        state: PackState,
        moments: Moments,
        score: Callable[[int, Part], Score],
        validation_sha256: str,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        began = beginning(plan)
        found = began if checkpoint is None else continuation(plan, checkpoint)
        self.place, self.name, self.plan, self.pulse = place, name, plan, pulse
        self.rates = Rates(plan)
        self._recipe = plan.lineage.train
        self._state, self._moments, self._score = state, moments, score
        self._tensors = plan.lineage.tensors()
        self._began = apart(began.weights, parameters(self._tensors)) | apart(began.buffers, buffers(self._tensors))
        self._scores: dict[Part, Score] = {}
        self._window = resumed(Window, checkpoint)
        self._course = Course(plan, ENGINE, self, self, pulse, self._window, validation_sha256, checkpoint)
        self._count_ahead = found.count - self.step
        self._load(found)
        if checkpoint is None:
            self.record()
        else:
            best = checkpoint.part("best")
            state.write_parameters(place, state.best, np.asarray(best["vector"], dtype=np.float32))
            state.write(place, state.best_buffers, np.asarray(best["buffers"], dtype=np.float32))

    @property
    def step(self) -> int:
        """Updates done."""
        return self._course.step

    @property
    def count(self) -> int:
        """Updates that the optimizer remembers."""
        return self.step + self._count_ahead

    @property
    def remaining(self) -> int:
        """Updates still to do."""
        return self._course.remaining

    @property
    def is_fresh(self) -> bool:
        """Whether its first evaluation is still to come."""
        return not self._course.curves.points

    @property
    def is_due(self) -> bool:
        """Whether it is evaluated after the updates done."""
        return self._course.is_due

    @property
    def reads_test(self) -> bool:
        """Whether the evaluation after the updates done reads the test set too."""
        return self.is_fresh or self._recipe.test_curve or not self.remaining

    @property
    def next_border(self) -> int:
        """The step at which the host has to look at it again."""
        return self._course.next_border

    def took(self, losses: list[float], num_correct: int) -> None:
        """Note updates that were done: their mean losses in order, and how many examples were classified correctly."""
        self._window.add(losses, num_correct, len(losses) * self._recipe.batch_size)
        self._course.step += len(losses)

    def look(self) -> None:
        """Take a point of the curves; scores that the pack has prepared are used first.

        Raises:
            NonFiniteError: If a loss is not finite.
            LevelCancelled: If the caller asked to stop.
        """
        if self.is_fresh:
            self._course.look_at_start()
        else:
            self._course.look()

    def record(self) -> None:
        """Copy weights, and the optimizer's state where it is asked for, if this is the step for it."""
        self._course.record()

    def finish(self) -> Trained:
        """Return what the training left behind.

        Raises:
            NonFiniteError: If a weight is not finite.
            LevelCancelled: If the caller asked to stop.
        """
        return self._course.finish(self._began, self.plan.mask)

    def checkpoint(self) -> Checkpoint:
        """Return everything that is needed to go on from here, in any slot of any pack."""
        return self._course.checkpoint()

    def prepared(self, part: Part, score: Score) -> None:
        """Take a score that the pack found for all slots at once."""
        self._scores[part] = score

    def score(self, part: Part, beat: Callable[[], None]) -> Score:
        """Return how the network as it stands does on a part of the data."""
        beat()
        found = self._scores.pop(part, None)
        return self._score(self.place, part) if found is None else found

    def keep_best(self) -> None:
        """Keep a copy of the network."""
        self._state.keep_best([self.place])

    def go_to_best(self) -> None:
        """Become the copy."""
        self._state.go_to_best(self.place)

    def read(self) -> Weights:
        """Return copies of the current weights and running statistics, in state_dict order."""
        state = self._state
        found = apart(state.read_parameters(self.place, state.weights), parameters(self._tensors))
        found |= apart(state.read(self.place, state.buffers, state.num_buffers), buffers(self._tensors))
        return {tensor.name: found[tensor.name] for tensor in self._tensors}

    def read_state(self, step: int) -> OptimizerState:
        """Return copies of what the optimizer remembers after `step` updates, by its names."""
        names = MOMENT_NAMES[optimizer_kind(self._recipe)]
        found: OptimizerState = dict(zip(names, self._moments.read(self.place), strict=True))
        return found | {"count": np.array(step + self._count_ahead, dtype=np.float32)} if "mean" in names else found

    def read_best(self) -> dict[str, Array]:
        """Return the copy at the lowest validation loss."""
        state, place = self._state, self.place
        return {
            "vector": state.read_parameters(place, state.best),
            "buffers": state.read(place, state.best_buffers, state.num_buffers),
        }

    def _load(self, found: Contents) -> None:
        state, place, recipe = self._state, self.place, self._recipe
        state.write_parameters(place, state.weights, found.weights)
        state.write_parameters(place, state.best, found.weights)
        state.write(place, state.buffers, found.buffers)
        state.write(place, state.best_buffers, found.buffers)
        self._moments.load(place, found.keep, found.moments)
        state.decay[place] = recipe.weight_decay if recipe.weight_decay_mode == "coupled" else 0.0
        state.momentum[place] = recipe.momentum
        state.smoothing[place] = recipe.label_smoothing
