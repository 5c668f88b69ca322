"""A stand-in for engines, to measure everything around them: `python -m benchmarks.scale.stand_in` hosts it.

It is the real engine, with real inputs, blobs and fingerprints, told to train a single step; then it waits until a
level has taken as long as it is to take. Nothing that the service trains for its users comes near it.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

import ray

from workers import engine_host
from workers.engine import SPARE_THREADS, EngineProcess
from workers.engines.orders import Order, Trained
from workers.pool import Pool

LEVEL_S = "STAND_IN_LEVEL_S"
"""Variable that says how long a level takes."""


class StandInEngine(EngineProcess):
    """An engine whose levels take a fixed time, of which they need next to nothing of the processor."""

    def _train(self, slot: str, order: Order, started_at: str, begun_s: float) -> Trained:
        trained = super()._train(slot, order, started_at, begun_s)
        left_s = float(os.environ[LEVEL_S]) - (time.monotonic() - begun_s)
        time.sleep(max(0.0, left_s))
        return replace(trained, busy_s=time.monotonic() - begun_s)


class StandInPool(Pool):
    """A pool that asks for stand-ins."""

    @staticmethod
    def engine_class(num_slots: int) -> Any:
        """Return the actor class of stand-ins."""
        remote: Any = ray.remote
        return remote(concurrency_groups={"control": 2, "train": num_slots + SPARE_THREADS})(StandInEngine)


if __name__ == "__main__":
    engine_host.main(StandInPool)
