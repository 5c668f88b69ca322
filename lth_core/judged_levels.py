"""One level of one setting: what was trained there, figures per treatment, and the verdict over replicates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lth_core.expansion import WINNING_TICKET, LineageSpec, PlannedLineage
from lth_core.labels import label_of
from lth_core.parts import Rule
from lth_core.verdicts import LevelVerdict, Outcome, Pair, average, judge

Core = Mapping[str, Any]
Cores = Mapping[str, Mapping[int, Core]]
"""Committed cores by key and level; a dense level lies under its dense key."""

Judge = Literal["test", "val"]
DENSE = "dense"
FIGURES = ("test_accuracy", "val_accuracy", "end_test_accuracy", "end_val_accuracy", "early_stop_step")


@dataclass(frozen=True)
class Run:
    """One trained level of one lineage of a setting."""

    treatment: str
    replicate: int
    core: Core

    def outcome(self, judged_on: Judge, *, fixed_steps: bool) -> Outcome:
        """Return accuracy and early-stopping step; with fixed steps the accuracy at the end."""
        metrics = self.core["metrics"]
        prefix = "end_" if fixed_steps else ""
        return Outcome(
            accuracy=metrics[f"{prefix}{judged_on}_accuracy"],
            early_stop_step=metrics["early_stop_step"],
            converged=metrics["converged"],
        )


def runs_at(planned: Sequence[PlannedLineage], cores: Cores, level: int) -> list[Run]:
    """Return what is committed at one level of a setting, in the order of its lineages.

    At level 0 the chain that finds masks is the dense network; a control with a level 0 of its own keeps its name.
    """
    runs = []
    for lineage in planned:
        core = cores.get(lineage.key_of_level(level), {}).get(level)
        if level < lineage.first_level or core is None:
            continue
        is_dense = level == 0 and lineage.source_key is None
        runs.append(Run(DENSE if is_dense else lineage.spec.treatment, lineage.spec.replicate, core))
    return runs


def at_fixed_steps(lineage: LineageSpec) -> bool:
    """Tell whether the learning rate falls on the way: then accuracies at the end are compared, never speed."""
    return bool(lineage.train.milestones) or lineage.train.schedule == "cosine"


class JudgedLevel:
    """One level of one setting: its runs, and the verdict on test accuracies.

    Args:
        level: Its number.
        runs: What is committed there, at least one.
        dense: The dense network of each replicate.
        lineage: Any lineage of the setting.
        rule: Limits and confidence.
    """

    def __init__(
        self, level: int, runs: list[Run], dense: Mapping[int, Run], lineage: PlannedLineage, rule: Rule
    ) -> None:
        self.level = level
        self.runs = runs
        self.label = label_of(lineage.spec)
        self.fixed_steps = at_fixed_steps(lineage.spec)
        self._dense = dense
        self._rule = rule
        anchors = [run for run in runs if run.treatment in (DENSE, WINNING_TICKET)] or runs
        first = anchors[0].core  # counts are exact: every replicate of a setting keeps as many
        self.density: float = first["density"]
        self._kept, self._prunable = first["kept"], first["prunable"]
        self.verdict = self.judged_on("test")

    @property
    def p_value(self) -> float | None:
        """One-sided, of "the ticket is above the dense network minus the margin"; None where nothing is judged."""
        return None if self.verdict is None else self.verdict.p_value

    def judged_on(self, part: Judge) -> LevelVerdict | None:
        """Judge the level on test or validation accuracy; None for level 0, or if nothing can be paired."""
        pairs = self._pairs(part)
        if self.level == 0 or not pairs:
            return None
        return judge(pairs, self.density, self._rule, fixed_steps=self.fixed_steps, label=self.label)

    def _pairs(self, part: Judge) -> list[Pair]:
        pairs = []
        for ticket in self.runs:
            dense = self._dense.get(ticket.replicate)
            if ticket.treatment != WINNING_TICKET or dense is None:
                continue
            controls: dict[str, list[Outcome]] = {}
            for run in self.runs:
                if run.replicate == ticket.replicate and run.treatment not in (DENSE, WINNING_TICKET):
                    outcome = run.outcome(part, fixed_steps=self.fixed_steps)
                    controls.setdefault(run.treatment, []).append(outcome)
            pairs.append(
                Pair(
                    dense=dense.outcome(part, fixed_steps=self.fixed_steps),
                    ticket=ticket.outcome(part, fixed_steps=self.fixed_steps),
                    controls={name: average(draws) for name, draws in controls.items()},
                )
            )
        return pairs

    def as_json(self) -> dict[str, Any]:
        """Return the level as a JSON object: counts, figures per treatment, and where it is judged the verdicts."""
        document: dict[str, Any] = {
            "level": self.level,
            "density": self.density,
            "kept": self._kept,
            "prunable": self._prunable,
            "verdicts": {},
            "n": len({run.replicate for run in self.runs if run.treatment in (DENSE, WINNING_TICKET)}),
            "treatments": _figures(self.runs),
        }
        if self.level:
            document["label"] = self.label
        if self.verdict is not None:
            document.update(
                verdicts=dict(self.verdict.verdicts),
                n=self.verdict.n,
                speed_rule=self.verdict.speed_rule,
                paired={name: found.as_json() for name, found in self.verdict.comparisons.items()},
                p=self.verdict.p_value,
            )
            if self.verdict.n == 1:
                document["single_seed"] = True
        return document


def _figures(runs: Sequence[Run]) -> dict[str, Any]:
    """Return mean, minimum and maximum of every figure per treatment, over replicates and draws."""
    figures: dict[str, Any] = {}
    for treatment in dict.fromkeys(run.treatment for run in runs):
        metrics = [run.core["metrics"] for run in runs if run.treatment == treatment]
        figures[treatment] = {"n": len(metrics), "num_converged": sum(m["converged"] for m in metrics)}
        for name in FIGURES:
            values = [m[name] for m in metrics]
            mean = math.fsum(values) / len(values)
            figures[treatment][name] = {"mean": mean, "min": min(values), "max": max(values)}
    return figures
