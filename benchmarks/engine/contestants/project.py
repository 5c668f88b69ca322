"""The project's own engines for one replicate at a time, through the interface that levels use.

Option `engine`: reference (plain autograd, the meaning of all others), cpu (native kernels) or conv. Option `kernel`
forces the native kernels to compute every layer in dense tiles, or by survivors alone; else its density decides.
"""

from __future__ import annotations

import argparse

from benchmarks.engine.contestants.plans import STEPS_OF_A_LEVEL, data_of, lineage_of, synchronise
from benchmarks.engine.protocol import AbsentError, Spent, Windowed, serve
from benchmarks.engine.work import Arrays, Work
from lth_core.data import TensorData
from lth_core.determinism import pin
from lth_core.engines.base import Plan, Training
from lth_core.pulse import Pulse
from lth_core.training import ReferenceTraining


class Project(Windowed):
    """One replicate by an engine of the project; its first steps are those of every replicate of the work."""

    def __init__(self, work: Work, engine: str) -> None:
        self._work, self._data, self._engine = work, data_of(work), engine
        pin(1)

    def begin(self, level: int, evaluate: bool) -> None:
        """See `Windowed.begin`; validation and test set are read here, before the clock is."""
        self._training = self._start(level, eval_every=self._work.eval_every if evaluate else STEPS_OF_A_LEVEL)

    def advance(self, steps: int) -> None:
        """See `Windowed.advance`."""
        self._training.advance(self._training.step + steps)

    def score(self, level: int) -> Spent:
        """See `Contestant.score`: what is left to do after the last step is one look at the test set."""
        training = self._start(level, steps=1, eval_every=1)
        training.advance(1)

        def finish() -> None:
            training.finish()

        return self.timed(finish)

    def first_steps(self, level: int, steps: int) -> list[Arrays]:
        """See `Contestant.first_steps`."""
        found = []
        for replicate in range(self._work.terms.num_replicates):
            training = self._start(level, replicate=replicate, steps=steps, eval_every=steps)
            training.advance(steps)
            found.append(dict(training.finish().final))
        return found

    def synchronise(self) -> None:
        """See `Windowed.synchronise`."""
        synchronise(self._work)

    def _start(self, level: int, *, replicate: int = 0, **train: int) -> Training:
        lineage = lineage_of(self._work, replicate=replicate, **train)
        plan = Plan(lineage, self._work.start(replicate), self._work.mask(level))
        return start(plan, self._data, self._engine)


def start(plan: Plan, data: TensorData, engine: str) -> Training:
    """Begin a training with an engine of the project by name.

    Raises:
        AbsentError: If this machine cannot run it.
    """
    if engine == "reference":
        return ReferenceTraining(plan, data, Pulse())
    if engine == "conv":
        from lth_core.engines.conv.training import ConvTraining

        return ConvTraining(plan, data, Pulse())
    from lth_core.engines.cpu import training as cpu

    if not cpu.can_run():
        raise AbsentError("the native kernels cannot run on this machine")
    return cpu.CpuTraining(plan, data, Pulse())


def _force(kernel: str) -> None:
    from lth_core.native import layers

    layers.DENSE_ABOVE = {"dense": -1.0, "sparse": 2.0}[kernel]


def open_contestant(work: Work, args: argparse.Namespace) -> Project:
    """Open it; it has one replicate whatever was asked for.

    Raises:
        AbsentError: If the engine cannot run here.
    """
    if args.kernel:
        _force(args.kernel)
    project = Project(work, args.engine)
    project.begin(0, False)
    return project


if __name__ == "__main__":
    serve(open_contestant, "engine", "kernel")
