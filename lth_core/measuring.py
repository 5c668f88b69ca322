"""What is measured while a network trains: the training batches on the way, validation and test set at their steps.

Validation is measured at the start, every `eval_every` steps and at the end; the test set at the start, at the
step of the lowest validation loss and at the end only, unless the whole test curve is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from lth_core.curves import Curves, Point
from lth_core.errors import NonFiniteError
from lth_core.evaluation import Score
from lth_core.parts import Train
from lth_core.pulse import Pulse

Part = Literal["validation", "test"]


class Window:
    """Loss and accuracy of the training batches since the last evaluation.

    Args:
        state: What `state` returned, to go on from.
    """

    def __init__(self, state: tuple[float, int, int, int] = (0.0, 0, 0, 0)) -> None:
        self._loss, self._num_steps, self._num_correct, self._num_examples = state

    def add(self, losses: Sequence[float], num_correct: int, num_examples: int) -> None:
        """Note training batches: their mean losses in order, and what they hold; one by one or together is the same."""
        for loss in losses:
            self._loss += loss
        self._num_steps += len(losses)
        self._num_correct += num_correct
        self._num_examples += num_examples

    def state(self) -> tuple[float, int, int, int]:
        """Return the sum of losses and the counts of steps, correct and all examples."""
        return self._loss, self._num_steps, self._num_correct, self._num_examples

    def take(self, step: int) -> Score:
        """Return the means and begin anew.

        Raises:
            NonFiniteError: If the loss was not finite.
        """
        score = Score(self._loss / self._num_steps, self._num_correct / self._num_examples)
        if not math.isfinite(score.loss):
            raise NonFiniteError(step, "training loss")
        self._loss, self._num_steps, self._num_correct, self._num_examples = 0.0, 0, 0, 0
        return score


class TensorWindow(Window):
    """A window over batches whose figures are tensors, read from the device once in a while."""

    MAX_PENDING = 500

    def __init__(self, state: tuple[float, int, int, int] = (0.0, 0, 0, 0)) -> None:
        super().__init__(state)
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []

    def note(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Note one training batch."""
        self._pending.append((loss.detach(), logits.detach(), labels))
        if len(self._pending) == self.MAX_PENDING:
            self._settle()

    def state(self) -> tuple[float, int, int, int]:
        """Return the sum of losses and the counts of steps, correct and all examples."""
        self._settle()
        return super().state()

    def take(self, step: int) -> Score:
        """Return the means and begin anew; errors as for any window."""
        self._settle()
        return super().take(step)

    def _settle(self) -> None:
        if not self._pending:
            return
        losses, logits, labels = zip(*self._pending, strict=True)
        wanted = torch.cat(labels)
        correct = int((torch.cat(logits).argmax(1) == wanted).sum())
        self.add(torch.stack(losses).tolist(), correct, len(wanted))
        self._pending.clear()


class Judged(Protocol):
    """A network that is evaluated while it trains, whatever engine it lives in."""

    def score(self, part: Part, beat: Callable[[], None]) -> Score:
        """Evaluate it as it stands; `beat` is called now and then, to show that work goes on."""

    def keep_best(self) -> None:
        """Keep a copy of it, buffers included, in the place of the copy before."""

    def go_to_best(self) -> None:
        """Become the copy."""


class Judge:
    """Evaluates a network while it trains, and has a copy kept at the lowest validation loss.

    Args:
        recipe: Whether the whole test curve is wanted.
        judged: The network.
        pulse: Hears of every evaluation.
        curves: Evaluations so far, where a training goes on.
    """

    def __init__(self, recipe: Train, judged: Judged, pulse: Pulse, curves: Curves | None = None) -> None:
        self._whole_test_curve = recipe.test_curve
        self._judged = judged
        self._pulse = pulse
        self.curves = Curves() if curves is None else curves

    def look(self, step: int, lr: float, *, train: Score | None, counts: bool = True) -> None:
        """Take one point of the curves; only one that counts can be the early stop.

        Raises:
            NonFiniteError: If the validation loss is not finite.
            LevelCancelled: If the caller asked to stop.
        """
        beat = self._beat_at(step)
        validation = self._judged.score("validation", beat)
        if not math.isfinite(validation.loss):
            raise NonFiniteError(step, "validation loss")
        at_start = not self.curves.points
        reads_test = at_start or self._whole_test_curve
        test = self._judged.score("test", beat) if reads_test else None
        if self.curves.add(Point(step, lr, train, validation, test), counts=counts):
            self._judged.keep_best()
        self._pulse.speak(step)

    def read_test_set(self) -> None:
        """Read the test set at the end and, on the copy, at the lowest validation loss."""
        beat = self._beat_at(self.curves.end.step)
        if self.curves.end.test is None:
            self.curves.end.test = self._judged.score("test", beat)
        if self.curves.early_stop.test is None:
            self._judged.go_to_best()
            self.curves.early_stop.test = self._judged.score("test", beat)

    def _beat_at(self, step: int) -> Callable[[], None]:
        return lambda: self._pulse.beat(step)
