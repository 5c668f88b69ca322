"""Measures contestants it knows nothing of: gates first, then windows round robin, every sample kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine.children import Child
from benchmarks.engine.protocol import AbsentError, Spent
from benchmarks.engine.statistics import window_steps
from benchmarks.engine.work import Arrays, Work

WARMUP = 20
GATE_STEPS = 20
GATE_BOUND = 1e-5
DENSE_LEVELS = 5
"""How many levels stand for all where the cost ignores masks."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """One timed window, or one timed look at the test set (`steps` is 0 then).

    Attributes:
        contestant: Who.
        level: Which masks.
        cadence: Whether validation was measured on the way.
        round: In which round.
        steps: Steps of each replicate.
        replicates: Replicates trained at once.
        cpu_s: CPU seconds.
        wall_s: Seconds on the wall.
    """

    contestant: str
    level: int
    cadence: bool
    round: int
    steps: int
    replicates: int
    cpu_s: float
    wall_s: float

    def per_step(self, clock: str) -> float:
        """Seconds of one step of one replicate; of one look at the test set where there are no steps."""
        spent = self.cpu_s if clock == "cpu" else self.wall_s
        return spent / (max(1, self.steps) * self.replicates)


AfterRound = Callable[[list[Sample], dict[str, str]], None]
"""Hears of all samples so far, and of the contestants that were lost, with their reasons."""


@dataclass(frozen=True)
class Gate:
    """Whether a contestant's first steps are the reference's.

    Attributes:
        contestant: Who.
        level: Which masks.
        replicate: Which start and order.
        largest: Largest difference of a weight.
        share_beyond: Share of the weights that differ by more than the bound.
        holds: Whether none does.
    """

    contestant: str
    level: int
    replicate: int
    largest: float
    share_beyond: float
    holds: bool


def levels_of(levels: Sequence[int], dense: bool) -> tuple[int, ...]:
    """Return the levels at which a contestant is measured: all, or evenly spread ones with both ends."""
    if not dense or len(levels) <= DENSE_LEVELS:
        return tuple(levels)
    places = np.linspace(0, len(levels) - 1, DENSE_LEVELS).round().astype(int)
    return tuple(levels[place] for place in dict.fromkeys(places.tolist()))


def compare(name: str, level: int, found: Sequence[Arrays], wanted: Sequence[Arrays]) -> list[Gate]:
    """Hold a contestant's weights against the reference's, replicate by replicate."""
    gates = []
    for replicate, (ours, theirs) in enumerate(zip(found, wanted, strict=False)):
        differences = np.concatenate([np.abs(ours[key] - theirs[key]).reshape(-1) for key in theirs])
        beyond = float((~(differences <= GATE_BOUND)).mean())
        gates.append(Gate(name, level, replicate, float(differences.max()), beyond, beyond == 0))
    return gates


def judge_first_steps(
    running: Mapping[str, Child], reference: str, levels: Sequence[int], folder: Path, say: Say, steps: int = GATE_STEPS
) -> list[Gate]:
    """Compare every contestant's first steps with the reference's, which must be among them."""
    gates: list[Gate] = []
    for level in levels:
        wanted = running[reference].first_steps(level, steps, folder / "reference")
        for name, child in running.items():
            if name == reference:
                continue
            found = compare(name, level, child.first_steps(level, steps, folder / name.replace(" ", "-")), wanted)
            gates += found
            worst = max(gate.largest for gate in found)
            equal = sum(gate.holds for gate in found)
            say(f"gate    {name:24} level {level:2}  {equal} of {len(found)} equal, worst {worst:.1e}")
    return gates


def measure(
    running: dict[str, Child],
    work: Work,
    *,
    rounds: int,
    cadences: Sequence[bool] = (False, True),
    tests: bool = True,
    most_steps: int = 1000,
    at_least_s: float = 0.25,
    warmup: int = WARMUP,
    after_round: AfterRound | None = None,
    say: Say = print,
) -> tuple[list[Sample], dict[str, str]]:
    """Time every contestant's windows round robin.

    The innermost loop goes over the contestants, beginning with another one each round, so that what a ratio compares
    lies close together in time. A contestant that ends is left out from there on, with its reason.

    Args:
        running: The contestants.
        work: What they do.
        rounds: How often everything is measured.
        cadences: Without evaluation, with it, or both.
        tests: Whether a look at the test set is timed too.
        most_steps: Longest window.
        at_least_s: How long a window should last.
        warmup: Steps before the clock starts.
        after_round: Called with everything so far.
        say: Hears what goes on.
    """
    samples: list[Sample] = []
    lost: dict[str, str] = {}
    plan = {name: levels_of(work.terms.levels, child.entry.dense) for name, child in running.items()}
    lengths: dict[tuple[str, int], int] = {}

    def attempt(name: str, level: int, cadence: bool | None, steps: int) -> Spent | None:
        child = running[name]
        try:
            if cadence is None:
                return child.score(level)
            return child.window(level, evaluate=cadence, warmup=warmup, steps=steps)
        except AbsentError as reason:
            lost[name] = str(reason)
            running.pop(name).close()
            say(f"lost    {name}: {reason}")
            return None

    def length(name: str, level: int, cadence: bool) -> int:
        if (name, level) not in lengths:
            trial = min(100, most_steps)
            spent = attempt(name, level, cadence, trial)
            cost = 1.0 if spent is None else spent.cpu_s * 100 / trial
            lengths[name, level] = window_steps(cost, at_least_s=at_least_s, most=most_steps)
        return lengths[name, level]

    def present(turn: int, level: int) -> list[str]:
        return [name for name in _rotated(list(running), turn) if level in plan[name]]

    for turn in range(rounds):
        for level in work.terms.levels:
            for cadence in (*cadences, None) if tests else cadences:
                for name in present(turn, level):
                    steps = 0 if cadence is None else length(name, level, cadence)
                    spent = attempt(name, level, cadence, steps) if name in running else None
                    if spent is not None:
                        num = running[name].num_replicates
                        samples.append(Sample(name, level, cadence is not False, turn, steps, num, *spent))
        say(f"round   {turn + 1} of {rounds} done, {len(samples)} samples")
        if after_round is not None:
            after_round(samples, lost)
    return samples, lost


def _rotated(names: list[str], turn: int) -> list[str]:
    cut = turn % len(names) if names else 0
    return names[cut:] + names[:cut]


def as_rows(items: Sequence[Any]) -> list[dict[str, Any]]:
    """Return dataclasses as JSON."""
    return [asdict(item) for item in items]
