"""The project's pack engine: G replicates in the slots of one pack, a segment at a time.

Option `variant`: own (its kernels), bmm (the library's batched products) or branches (of one graph, by autograd).
"""

from __future__ import annotations

import argparse
from typing import get_args

from benchmarks.engine.contestants.plans import STEPS_OF_A_LEVEL, data_of, lineage_of, synchronise
from benchmarks.engine.protocol import Spent, Windowed, serve
from benchmarks.engine.work import Arrays, Work
from lth_core.determinism import pin
from lth_core.engines.base import Plan, Trained
from lth_core.engines.pack.engine import PackEngine
from lth_core.engines.pack.shape import Variant

LONG_SEGMENT, SHORT_SEGMENT = 500, 100
"""Steps of a segment: the long one where a window is a multiple of it."""


class ProjectPack(Windowed):
    """G replicates by the pack engine; windows are whole segments, so the warm-up is one segment at least."""

    def __init__(self, work: Work, num_replicates: int, variant: Variant) -> None:
        self._work, self._data, self._variant = work, data_of(work), variant
        self.num_replicates = num_replicates
        self._segment = SHORT_SEGMENT
        pin(1)

    def window(self, level: int, evaluate: bool, warmup: int, steps: int) -> Spent:
        """See `Contestant.window`; the warm-up is one segment, whatever was asked for."""
        self._segment = LONG_SEGMENT if steps % LONG_SEGMENT == 0 else min(SHORT_SEGMENT, steps)
        return super().window(level, evaluate, min(warmup, self._segment), steps)

    def begin(self, level: int, evaluate: bool) -> None:
        """See `Windowed.begin`."""
        self._engine = self._admitted(level, eval_every=self._work.eval_every if evaluate else STEPS_OF_A_LEVEL)

    def advance(self, steps: int) -> None:
        """See `Windowed.advance`; rounded up to whole segments."""
        for _ in range(-(-steps // self._segment)):
            self._engine.run()

    def score(self, level: int) -> Spent:
        """See `Windowed.score`: a training of one step ends in one look at the test set.

        The step before it, and the admission, are counted with it; the first time is not timed.
        """
        self._score_test_set(level)
        return self.timed(lambda: self._score_test_set(level))

    def first_steps(self, level: int, steps: int) -> list[Arrays]:
        """See `Contestant.first_steps`."""
        done = self._finish(self._admitted(level, steps=steps, eval_every=steps))
        return [dict(done[str(replicate)].final) for replicate in range(self.num_replicates)]

    def synchronise(self) -> None:
        """See `Windowed.synchronise`."""
        synchronise(self._work)

    def _admitted(self, level: int, **train: int) -> PackEngine:
        num, mask = self.num_replicates, self._work.mask(level)
        engine = PackEngine(num_slots=num, num_branches=num, segment_steps=self._segment, variant=self._variant)
        for replicate in range(num):
            lineage = lineage_of(self._work, replicate=replicate, **train)
            engine.admit(str(replicate), Plan(lineage, self._work.start(replicate), mask), self._data)
        return engine

    def _score_test_set(self, level: int) -> None:
        self._finish(self._admitted(level, steps=1, eval_every=1))

    @staticmethod
    def _finish(engine: PackEngine) -> dict[str, Trained]:
        while engine.run():
            pass
        done: dict[str, Trained] = {}
        for name, trained in engine.collect().items():
            if isinstance(trained, Exception):
                raise trained
            done[name] = trained
        return done


def open_contestant(work: Work, args: argparse.Namespace) -> ProjectPack:
    """Open it."""
    if args.variant not in get_args(Variant):
        raise ValueError(f"variant must be one of {', '.join(get_args(Variant))}, got {args.variant!r}")
    return ProjectPack(work, args.replicates, args.variant)


if __name__ == "__main__":
    serve(open_contestant, "variant")
