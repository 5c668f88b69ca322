"""From samples to figures: what a step costs at each density, what a lineage costs, and how many times as fast one is.

A figure is always the median over rounds of what was computed within one round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.engine.harness import Sample
from benchmarks.engine.roofline import Peaks, count_step
from benchmarks.engine.statistics import Spread, lineage_seconds, ratios

Costs = dict[int, float]


@dataclass(frozen=True)
class Figures:
    """What was measured, in the shape that tables and plots need.

    Attributes:
        steps: By contestant and cadence, one dictionary per round: level to seconds per step of one replicate.
        tests: By contestant, one dictionary per round: level to seconds of one look at the test set.
        lineages: By contestant and cadence, one list per round: seconds of each level of a lineage.
    """

    steps: dict[tuple[str, bool], list[Costs]]
    tests: dict[str, list[Costs]]
    lineages: dict[tuple[str, bool], list[list[float]]]

    def names(self) -> list[str]:
        """Return the contestants."""
        return list(dict.fromkeys(name for name, _ in self.steps))

    def step(self, name: str, level: int, *, cadence: bool) -> Spread | None:
        """Return a contestant's seconds per step at a level, None where it was not measured."""
        rounds = self.steps.get((name, cadence), [])
        found = [costs[level] for costs in rounds if level in costs]
        return Spread.of(found) if found else None

    def lineage(self, name: str, *, cadence: bool) -> Spread | None:
        """Return the seconds of a whole lineage."""
        rounds = self.lineages.get((name, cadence), [])
        return Spread.of([sum(levels) for levels in rounds]) if rounds else None

    def step_ratio(self, slow: str, fast: str, level: int, *, cadence: bool) -> Spread | None:
        """Return how many times as fast one is at a level."""
        rounds = zip(self.steps.get((slow, cadence), []), self.steps.get((fast, cadence), []), strict=False)
        pairs = [(a[level], b[level]) for a, b in rounds if level in a and level in b]
        return Spread.of(ratios([a for a, _ in pairs], [b for _, b in pairs])) if pairs else None

    def lineage_ratio(self, slow: str, fast: str, *, cadence: bool) -> Spread | None:
        """Return how many times as fast one is over a lineage."""
        sums = [[sum(each) for each in self.lineages.get((name, cadence), [])] for name in (slow, fast)]
        common = min(len(each) for each in sums)
        return Spread.of(ratios(sums[0][:common], sums[1][:common])) if common else None

    def best_of(self, prefix: str, *, cadence: bool) -> str | None:
        """Return the contestant of a family whose lineage costs least (the step at the first level, without one)."""
        found = {name: self._cost(name, cadence) for name in self.names() if name.split(" ")[0] == prefix}
        known = {name: cost for name, cost in found.items() if cost is not None}
        return min(known, key=known.__getitem__) if known else None

    def _cost(self, name: str, cadence: bool) -> float | None:
        lineage = self.lineage(name, cadence=cadence)
        if lineage is not None:
            return lineage.median
        rounds = self.steps.get((name, cadence), [])
        return Spread.of([costs[min(costs)] for costs in rounds]).median if rounds else None


def figures(experiment: Mapping[str, Any]) -> Figures:
    """Compute the figures of one experiment of a result, as its JSON has it."""
    clock, levels = experiment["clock"], experiment["levels"]
    steps: dict[tuple[str, bool], dict[int, Costs]] = defaultdict(lambda: defaultdict(dict))
    tests: dict[str, dict[int, Costs]] = defaultdict(lambda: defaultdict(dict))
    for row in experiment["samples"]:
        sample = Sample(**row)
        if sample.steps:
            steps[sample.contestant, sample.cadence][sample.round][sample.level] = sample.per_step(clock)
        else:
            tests[sample.contestant][sample.round][sample.level] = sample.per_step(clock)
    by_round = {key: [rounds[turn] for turn in sorted(rounds)] for key, rounds in steps.items()}
    tested = {name: [rounds[turn] for turn in sorted(rounds)] for name, rounds in tests.items()}
    lineages: dict[tuple[str, bool], list[list[float]]] = {}
    if len(levels) > 1:
        for (name, cadence), rounds in by_round.items():
            adds_tests = cadence and experiment["contestants"][name]["tests"]
            looks: Sequence[Costs | None] = tested.get(name, []) if adds_tests else [None] * len(rounds)
            lineages[name, cadence] = [
                lineage_seconds(costs, levels, experiment["steps_per_level"], test_s=look)
                for costs, look in zip(rounds, looks, strict=False)
                if {levels[0], levels[-1]} <= costs.keys() and (look is None or levels[-1] in look)
            ]
    return Figures(by_round, tested, {key: rounds for key, rounds in lineages.items() if rounds})


def roofline_share(experiment: Mapping[str, Any], found: Figures, name: str, level: int) -> float | None:
    """Return the share of the measured peaks that a contestant's training step reaches, None where it is not counted.

    Contestants whose cost ignores masks are charged with all weights, the others with the survivors; those whose update
    alone heeds masks with all weights in products and the survivors in the update.
    """
    cost, roofline = found.step(name, level, cadence=False), experiment.get("roofline")
    if cost is None or not roofline or not roofline["uses"]:
        return None
    traits, kept = experiment["contestants"][name], experiment["kept"]
    counted = kept[str(0 if traits["dense"] else level)]
    count = count_step(
        [(num, roofline["uses"][tensor]) for tensor, num in counted.items()],
        roofline["inputs"],
        roofline["batch_size"],
        roofline["num_biases"],
        experiment["train"],
        num_updated=sum(kept[str(level)].values()) if traits.get("updates_survivors") else None,
    )
    return count.floor_s(Peaks(**roofline["peaks"])) / cost.median
