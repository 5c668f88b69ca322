"""When another process for trials is worth its start: a search of a few seconds does with its first one."""

from __future__ import annotations

START_S = 3.0
"""Processor seconds that the start of a trial's process takes, most of them for importing Ray Tune."""
LEAST_STEP_S = 1e-5
"""No engine takes a step in less."""
SILENCE_S = 15.0
"""A first process that has not been heard of for so long does not hold up the others."""


class Ramp:
    """Lets as many trials begin as save more time than the start of their processes takes.

    Until the first is heard of, that is judged by the steps to be taken, afterwards by the rate of levels too.
    Processes outlive their trials, so only a trial beyond those that have run at once before needs a new one.
    """

    def __init__(self) -> None:
        self._num_processes = 0
        self._began_s = 0.0
        self._up_since_s: float | None = None
        self._num_done = 0

    def began(self, num_running: int, now_s: float) -> None:
        """Note that a trial has begun; so many run now."""
        if self._num_processes == 0:
            self._began_s = now_s
        self._num_processes = max(self._num_processes, num_running)

    def heard(self, now_s: float) -> None:
        """Note that a trial waits for an engine or trains."""
        if self._up_since_s is None:
            self._up_since_s = now_s

    def done(self, now_s: float) -> None:
        """Note that a level has been committed."""
        self.heard(now_s)
        self._num_done += 1

    def is_worth_one_more(self, num_running: int, num_levels: int, num_steps: int, now_s: float) -> bool:
        """Tell whether one more trial is to begin.

        If n trials take T seconds for what is left, one more saves T / (n + 1). T follows from the rate so far, a first
        level that is not done counting as done.

        Args:
            num_running: Trials that run.
            num_levels: Levels of the search that are not committed.
            num_steps: Training steps in them.
            now_s: The time, on the clock of the other calls.
        """
        if num_running < max(1, self._num_processes):
            return True
        left_s = num_steps * LEAST_STEP_S / num_running
        if self._up_since_s is not None:
            left_s = max(left_s, num_levels * (now_s - self._up_since_s) / max(1, self._num_done))
        elif now_s - self._began_s > SILENCE_S:
            return True
        return left_s / (num_running + 1) > START_S
