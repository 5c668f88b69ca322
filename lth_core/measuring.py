"""What is measured while a network trains: the training batches on the way, validation and test set at their steps.

Validation is measured at the start, every `eval_every` steps and at the end; the test set at the start, at the
step of the lowest validation loss and at the end only, unless the whole test curve is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lth_core.curves import Curves, Point
from lth_core.data import Split, TensorData
from lth_core.errors import NonFiniteError
from lth_core.evaluation import Score, evaluate
from lth_core.expansion import LineageSpec
from lth_core.models import FlatNetwork
from lth_core.pulse import Pulse


class Window:
    """Loss and accuracy of the training batches since the last evaluation, read from the device once in a while."""

    MAX_PENDING = 500

    def __init__(self) -> None:
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []
        self._loss = 0.0
        self._num_steps = self._num_correct = self._num_examples = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Note one training batch."""
        self._pending.append((loss.detach(), logits.detach(), labels))
        if len(self._pending) == self.MAX_PENDING:
            self._settle()

    def take(self, step: int) -> Score:
        """Return the means and begin anew.

        Raises:
            NonFiniteError: If the loss was not finite.
        """
        self._settle()
        score = Score(self._loss / self._num_steps, self._num_correct / self._num_examples)
        if not math.isfinite(score.loss):
            raise NonFiniteError(step, "training loss")
        self._loss = 0.0
        self._num_steps = self._num_correct = self._num_examples = 0
        return score

    def _settle(self) -> None:
        if not self._pending:
            return
        losses, logits, labels = zip(*self._pending, strict=True)
        wanted = torch.cat(labels)
        self._loss += float(torch.stack(losses).sum(dtype=torch.float64))
        self._num_correct += int((torch.cat(logits).argmax(1) == wanted).sum())
        self._num_steps += len(losses)
        self._num_examples += len(wanted)
        self._pending.clear()


class Judge:
    """Evaluates a network while it trains, and keeps a copy of it, buffers included, at the lowest validation loss."""

    def __init__(self, lineage: LineageSpec, data: TensorData, net: FlatNetwork, parts: Split, pulse: Pulse) -> None:
        chosen = torch.from_numpy(parts.validation).to(data.device)
        self._validation = data.train_images.index_select(0, chosen), data.train_labels.index_select(0, chosen)
        self._test = data.test_images, data.test_labels
        self._whole_test_curve = lineage.train.test_curve
        self._net = net
        self._best = net.snapshot()
        self._pulse = pulse
        self.curves = Curves()

    def look(self, step: int, lr: float, *, train: Score | None, counts: bool = True) -> None:
        """Take one point of the curves; only one that counts can be the early stop.

        Raises:
            NonFiniteError: If the validation loss is not finite.
            LevelCancelled: If the caller asked to stop.
        """
        beat = self._beat_at(step)
        validation = evaluate(self._net.network, *self._validation, beat=beat)
        if not math.isfinite(validation.loss):
            raise NonFiniteError(step, "validation loss")
        at_start = not self.curves.points
        reads_test = at_start or self._whole_test_curve
        test = evaluate(self._net.network, *self._test, beat=beat) if reads_test else None
        if self.curves.add(Point(step, lr, train, validation, test), counts=counts):
            self._best = self._net.snapshot()
        self._pulse.speak(step)

    def read_test_set(self) -> None:
        """Read the test set at the end and, on the copy, at the lowest validation loss."""
        beat = self._beat_at(self.curves.end.step)
        if self.curves.end.test is None:
            self.curves.end.test = evaluate(self._net.network, *self._test, beat=beat)
        if self.curves.early_stop.test is None:
            assert self._best is not None
            self._net.restore(self._best)
            self.curves.early_stop.test = evaluate(self._net.network, *self._test, beat=beat)

    def _beat_at(self, step: int) -> Callable[[], None]:
        return lambda: self._pulse.beat(step)
