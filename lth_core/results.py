"""The results of a search: figures and verdicts of every setting and level, and the one claim it makes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lth_core.bounds import holm
from lth_core.canonical import FORMAT
from lth_core.expansion import WINNING_TICKET, PlannedLineage
from lth_core.parts import Rule
from lth_core.spec import SearchSpec
from lth_core.verdicts import MIN_REPLICATES, LevelVerdict, Outcome, Pair, average, judge

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


def search_results(spec: SearchSpec, planned: Sequence[PlannedLineage], cores: Cores) -> dict[str, Any]:
    """Return the results of a search from what is committed, complete or not.

    Args:
        spec: The search; its rule decides the limits.
        planned: Its lineages, from `expand`.
        cores: Committed cores by key and level.

    Returns:
        A JSON object: `levels` of all settings with verdicts, figures per treatment and paired comparisons; a
        claim per setting in `claims`; the search's `claim`; and its `best` ticket by key and level.
    """
    settings = [
        _Setting([lineage for lineage in planned if lineage.setting_index == index], cores, spec.rule)
        for index in sorted({lineage.setting_index for lineage in planned})
    ]
    claims = [claim for setting in settings if (claim := setting.claim()) is not None]
    claim = min(claims, key=lambda claim: claim["density"]) if claims else None
    return {
        "format": FORMAT,
        "object": "results",
        "rule": spec.rule.model_dump(mode="json"),
        "bounds": f"one-sided {100 * spec.rule.confidence:g} % per level by Student's t over replicates, unadjusted",
        "estimators": {"accuracy": "mean of paired differences", "early_stop": "geometric mean of paired ratios"},
        "levels": [document for setting in settings for document in setting.documents()],
        "claims": claims,
        "claim": claim,
        "best": _best(planned, cores, claim, spec.rule),
    }


class _Setting:
    """One cell of the grid: its levels, judged."""

    def __init__(self, planned: Sequence[PlannedLineage], cores: Cores, rule: Rule) -> None:
        runs = {level: _runs_at(planned, cores, level) for level in range(planned[0].spec.prune.levels + 1)}
        dense = {run.replicate: run for run in runs[0]}
        self._index, self._cell = planned[0].setting_index, planned[0].setting
        self._levels = [_Level(level, found, dense, planned[0], rule) for level, found in runs.items() if found]
        self._rule = rule

    def documents(self) -> list[dict[str, Any]]:
        adjusted = iter(holm([p for level in self._levels if (p := level.p_value) is not None]))
        documents = []
        for level in self._levels:
            document = {"setting": self._index, "cell": self._cell, **level.as_json()}
            if level.verdict is not None:
                document["p_holm"] = next(adjusted) if level.p_value is not None else None
            documents.append(document)
        return documents

    def claim(self) -> dict[str, Any] | None:
        """Choose the sparsest level that passes on validation and judge it on test, once; None if none passes."""
        for level in sorted(self._levels, key=lambda level: level.density):
            on_validation, on_test = level.judged_on("val"), level.verdict
            if on_validation is None or on_test is None or level.density > self._rule.max_density:
                continue
            deciding = "certified" if on_validation.n >= MIN_REPLICATES else "paper_point"
            if on_validation.verdicts[deciding] == "yes":
                return {
                    "setting": self._index,
                    "cell": self._cell,
                    "level": level.level,
                    "density": level.density,
                    "chosen_on": "validation",
                    "judged_on": "test",
                    "rule": deciding,
                    "verdict": on_test.verdicts[deciding],
                    "n": on_test.n,
                }
        return None


def _best(
    planned: Sequence[PlannedLineage], cores: Cores, claim: Mapping[str, Any] | None, rule: Rule
) -> dict[str, Any] | None:
    """Choose the ticket a search is known by, on validation accuracy: of the claimed level, else of all sparse ones."""
    candidates = [
        (core["density"] <= rule.max_density, core["metrics"]["val_accuracy"], -core["density"], lineage.key, level)
        for lineage in planned
        for level, core in cores.get(lineage.key, {}).items()
        if lineage.source_key is None
        and (claim is None or (lineage.setting_index, level) == (claim["setting"], claim["level"]))
    ]
    if not candidates:
        return None
    *_, key, level = max(candidates, key=lambda candidate: candidate[:3])
    return {"key": key, "level": level}


def _runs_at(planned: Sequence[PlannedLineage], cores: Cores, level: int) -> list[Run]:
    runs = []
    for lineage in planned:
        core = cores.get(lineage.key_of_level(level), {}).get(level)
        if level < lineage.first_level or core is None:
            continue
        treatment = DENSE if level == 0 else lineage.spec.treatment
        runs.append(Run(treatment, lineage.spec.replicate, core))
    return runs


class _Level:
    """One level of one setting: its runs, and the verdict on test accuracies."""

    def __init__(
        self, level: int, runs: list[Run], dense: Mapping[int, Run], lineage: PlannedLineage, rule: Rule
    ) -> None:
        self.level = level
        self.runs = runs
        self._dense = dense
        self._rule = rule
        self._fixed_steps = bool(lineage.spec.train.milestones)
        self._rewind_step = lineage.spec.rewind.step
        anchors = [run for run in runs if run.treatment in (DENSE, WINNING_TICKET)] or runs
        first = anchors[0].core  # counts are exact: every replicate of a setting keeps as many
        self.density: float = first["density"]
        self._kept, self._prunable = first["kept"], first["prunable"]
        self.verdict = self.judged_on("test")

    @property
    def p_value(self) -> float | None:
        return None if self.verdict is None else self.verdict.p_value

    def judged_on(self, part: Judge) -> LevelVerdict | None:
        """Judge the level on test or validation accuracy; None for level 0, or if nothing can be paired."""
        pairs = self._pairs(part)
        if self.level == 0 or not pairs:
            return None
        return judge(pairs, self.density, self._rule, fixed_steps=self._fixed_steps, rewind_step=self._rewind_step)

    def _pairs(self, part: Judge) -> list[Pair]:
        pairs = []
        for ticket in self.runs:
            dense = self._dense.get(ticket.replicate)
            if ticket.treatment != WINNING_TICKET or dense is None:
                continue
            controls: dict[str, list[Outcome]] = {}
            for run in self.runs:
                if run.replicate == ticket.replicate and run.treatment not in (DENSE, WINNING_TICKET):
                    outcome = run.outcome(part, fixed_steps=self._fixed_steps)
                    controls.setdefault(run.treatment, []).append(outcome)
            pairs.append(
                Pair(
                    dense=dense.outcome(part, fixed_steps=self._fixed_steps),
                    ticket=ticket.outcome(part, fixed_steps=self._fixed_steps),
                    controls={name: average(draws) for name, draws in controls.items()},
                )
            )
        return pairs

    def as_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "level": self.level,
            "density": self.density,
            "kept": self._kept,
            "prunable": self._prunable,
            "verdicts": {},
            "n": len({run.replicate for run in self.runs if run.treatment in (DENSE, WINNING_TICKET)}),
            "treatments": _figures(self.runs),
        }
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
