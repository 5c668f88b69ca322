"""The curves of one level: what was measured at which step, and the early-stopping step found in them afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lth_core.canonical import canonical_json
from lth_core.evaluation import Score


@dataclass
class Point:
    """One evaluation; training figures are means over the batches since the previous one, None at the start."""

    step: int
    lr: float
    train: Score | None
    validation: Score
    test: Score | None = None

    def row(self) -> dict[str, Any]:
        """Return the point as one line of `curves.jsonl`."""
        scores = {"train": self.train, "val": self.validation, "test": self.test}
        row: dict[str, Any] = {"step": self.step, "lr": self.lr}
        for name, score in scores.items():
            row[f"{name}_loss"] = None if score is None else score.loss
            row[f"{name}_accuracy"] = None if score is None else score.accuracy
        return row

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Point:
        """Return the point that `row` wrote."""
        scores = {}
        for name in ("train", "val", "test"):
            loss, accuracy = row[f"{name}_loss"], row[f"{name}_accuracy"]
            scores[name] = None if loss is None else Score(loss, accuracy)
        assert scores["val"] is not None
        return cls(row["step"], row["lr"], scores["train"], scores["val"], scores["test"])


@dataclass
class Curves:
    """All evaluations of a level in order; the first one is before any step of it."""

    points: list[Point] = field(default_factory=list)
    _best: int | None = None

    def add(self, point: Point, *, counts: bool = True) -> bool:
        """Append an evaluation; True if its validation loss is the lowest after the start so far.

        The evaluation at the start never counts, and of equal losses the first one does. Nor does one of a network
        that is not pruned as far as it will be: its early stop would be another network's.
        """
        self.points.append(point)
        if len(self.points) == 1 or not counts:
            return False
        if self._best is None or point.validation.loss < self.points[self._best].validation.loss:
            self._best = len(self.points) - 1
            return True
        return False

    @property
    def start(self) -> Point:
        """The evaluation before the first step."""
        return self.points[0]

    @property
    def early_stop(self) -> Point:
        """The evaluation with the lowest validation loss, the first one of equals."""
        assert self._best is not None
        return self.points[self._best]

    @property
    def end(self) -> Point:
        """The evaluation after the last step."""
        return self.points[-1]

    @property
    def converged(self) -> bool:
        """Whether validation loss was lowest before the end: otherwise the early-stopping step is undefined."""
        return self.early_stop is not self.end

    def state(self) -> dict[str, Any]:
        """Return all there is as JSON values: floats are written so that they read back to the same bits."""
        return {"rows": [point.row() for point in self.points], "best": self._best}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Curves:
        """Return the curves that `state` wrote."""
        return cls([Point.of_row(row) for row in state["rows"]], state["best"])

    def copy(self) -> Curves:
        """Return the same curves, to go on apart from these."""
        return Curves([replace(point) for point in self.points], self._best)

    def to_jsonl(self) -> bytes:
        """Return the curves as canonical JSON lines."""
        return b"".join(canonical_json(point.row()) + b"\n" for point in self.points)
