"""Drives an engine: one thread trains segment after segment, callers wait for their own level."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from lth_core.data import TensorData
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.errors import LevelCancelled
from lth_core.level import LevelResult
from lth_core.level_task import LevelTask
from workers.engines.slotted import SlottedEngine

CHECKPOINT_EVERY_S = 20.0
"""How long a level trains between two checkpoints."""


class EngineRunner:
    """Lets many threads order levels from one engine; levels beyond its slots wait outside.

    Args:
        engine: The engine; a thread of this object is the only one that runs it.
        on_checkpoint: Hears how far a level is, between two segments; it must not block.
        every_s: How long a level trains between two checkpoints.
    """

    def __init__(
        self,
        engine: SlottedEngine,
        on_checkpoint: Callable[[str, Checkpoint], None] | None = None,
        every_s: float = CHECKPOINT_EVERY_S,
    ) -> None:
        self._engine = engine
        self._on_checkpoint = on_checkpoint
        self._every_s = every_s
        self._kept_at_s: dict[str, float] = {}
        self._changed = threading.Condition()
        self._done: dict[str, LevelResult | Exception] = {}
        self._inside: set[str] = set()
        self._cancelled: set[str] = set()
        self._fingerprints: dict[EngineKind, dict[str, object]] = {}
        threading.Thread(target=self._drive, name="engine", daemon=True).start()

    def train(self, slot: str, task: LevelTask, data: TensorData, checkpoint: Checkpoint | None = None) -> LevelResult:
        """Train a level, on from a checkpoint if there is one; blocks until it has ended.

        Raises:
            Exception: Whatever the training raised, `LevelCancelled` if it was cancelled.
        """
        with self._changed:
            self._changed.wait_for(lambda: slot in self._cancelled or len(self._inside) < self._engine.capacity)
            if slot in self._cancelled:
                self._cancelled.discard(slot)
                raise LevelCancelled(0)
            self._engine.admit(slot, task, data, checkpoint)
            self._kept_at_s[slot] = time.monotonic()
            self._inside.add(slot)
            self._changed.notify_all()
            self._changed.wait_for(lambda: slot in self._done)
            ended = self._done.pop(slot)
            self._inside.discard(slot)
            self._kept_at_s.pop(slot, None)
            self._cancelled.discard(slot)
            self._changed.notify_all()
        if isinstance(ended, Exception):
            raise ended
        return ended

    def cancel(self, slot: str) -> None:
        """Stop a level, also one that has not been admitted yet."""
        with self._changed:
            self._cancelled.add(slot)
            self._engine.cancel(slot)
            self._changed.notify_all()

    def progress(self) -> Mapping[str, int]:
        """Optimizer steps done, by slot."""
        return self._engine.progress()

    def fingerprint(self, engine: EngineKind) -> dict[str, object]:
        """The environment of the training thread; known once a level of that kind of engine has ended."""
        return self._fingerprints[engine]

    def _drive(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._inside - self._done.keys()))
            self._engine.run()
            ended_now = self._engine.collect()
            for ended in ended_now:
                if ended.result is not None and ended.result.engine not in self._fingerprints:
                    self._fingerprints[ended.result.engine] = self._engine.fingerprint(ended.result.engine)
            self._keep()
            with self._changed:
                for ended in ended_now:
                    outcome = ended.error if ended.result is None else ended.result
                    assert outcome is not None
                    self._done[ended.slot] = outcome
                self._changed.notify_all()

    def _keep(self) -> None:
        """Tell of the levels that have trained for a while since their last checkpoint."""
        if self._on_checkpoint is None:
            return
        with self._changed:
            now_s = time.monotonic()
            due = [slot for slot, kept_at_s in self._kept_at_s.items() if now_s - kept_at_s >= self._every_s]
            self._kept_at_s.update(dict.fromkeys(due, now_s))
        for slot in due:
            checkpoint = self._engine.checkpoint(slot)
            if checkpoint is not None:
                self._on_checkpoint(slot, checkpoint)
