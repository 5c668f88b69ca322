"""Drives an engine: one thread trains segment after segment, callers wait for their own level."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from lth_core.data import TensorData
from lth_core.errors import LevelCancelled
from lth_core.level import LevelResult, LevelTask
from workers.engines.base import Engine


class EngineRunner:
    """Lets many threads order levels from one engine; levels beyond its slots wait outside."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._done: dict[str, LevelResult | Exception] = {}
        self._inside: set[str] = set()
        self._cancelled: set[str] = set()
        self._fingerprint: dict[str, object] | None = None
        threading.Thread(target=self._drive, name="engine", daemon=True).start()

    def train(self, slot: str, task: LevelTask, data: TensorData) -> LevelResult:
        """Train a level; blocks until it has ended.

        Raises:
            Exception: Whatever the training raised, `LevelCancelled` if it was cancelled.
        """
        with self._changed:
            self._changed.wait_for(lambda: slot in self._cancelled or len(self._inside) < self._engine.capacity)
            if slot in self._cancelled:
                self._cancelled.discard(slot)
                raise LevelCancelled(0)
            self._engine.admit(slot, task, data)
            self._inside.add(slot)
            self._changed.notify_all()
            self._changed.wait_for(lambda: slot in self._done)
            ended = self._done.pop(slot)
            self._inside.discard(slot)
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

    def fingerprint(self) -> dict[str, object]:
        """The environment of the training thread; known once a level has ended."""
        assert self._fingerprint is not None
        return self._fingerprint

    def _drive(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._inside - self._done.keys()))
            self._engine.run()
            if self._fingerprint is None:
                self._fingerprint = self._engine.fingerprint()
            with self._changed:
                for ended in self._engine.collect():
                    outcome = ended.error if ended.result is None else ended.result
                    assert outcome is not None
                    self._done[ended.slot] = outcome
                self._changed.notify_all()
