"""The results of a search: figures and verdicts of every setting and level, and the one claim it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lth_core.bounds import holm
from lth_core.canonical import FORMAT
from lth_core.cautions import cautions
from lth_core.expansion import PlannedLineage
from lth_core.judged_levels import DENSE, Cores, JudgedLevel, runs_at
from lth_core.parts import Rule
from lth_core.spec import SearchSpec
from lth_core.verdicts import MIN_REPLICATES


def search_results(spec: SearchSpec, planned: Sequence[PlannedLineage], cores: Cores) -> dict[str, Any]:
    """Return the results of a search from what is committed, complete or not.

    Args:
        spec: The search; its rule decides the limits.
        planned: Its lineages, from `expand`.
        cores: Committed cores by key and level.

    Returns:
        A JSON object: `levels` of all settings with verdicts, figures per treatment and paired comparisons; a
        claim per setting in `claims`; the search's `claim`; its `best` ticket by key and level; and in `warnings`
        one sentence for everything that a reader of the verdicts must know.
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
        "warnings": [sentence for setting in settings for sentence in setting.warnings()],
    }


class _Setting:
    """One cell of the grid: its levels, judged."""

    def __init__(self, planned: Sequence[PlannedLineage], cores: Cores, rule: Rule) -> None:
        runs = {level: runs_at(planned, cores, level) for level in range(planned[0].spec.prune.levels + 1)}
        dense = {run.replicate: run for run in runs[0] if run.treatment == DENSE}
        self._index, self._cell = planned[0].setting_index, planned[0].setting
        self._levels = [JudgedLevel(level, found, dense, planned[0], rule) for level, found in runs.items() if found]
        self._planned = planned
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
        """Choose the sparsest level that passes on validation and judge it on test, once; None if none passes.

        A trained network passes by `trained_matches`; a ticket by `certified`, and by `paper_point` where there are
        too few replicates for bounds.
        """
        for level in sorted(self._levels, key=lambda level: level.density):
            on_validation, on_test = level.judged_on("val"), level.verdict
            if on_validation is None or on_test is None or level.density > self._rule.max_density:
                continue
            deciding = "certified" if on_validation.n >= MIN_REPLICATES else "paper_point"
            if level.label == "trained":
                deciding = "trained_matches"
            if on_validation.verdicts[deciding] == "yes":
                return {
                    "setting": self._index,
                    "cell": self._cell,
                    "level": level.level,
                    "density": level.density,
                    "label": level.label,
                    "chosen_on": "validation",
                    "judged_on": "test",
                    "rule": deciding,
                    "verdict": on_test.verdicts[deciding],
                    "n": on_test.n,
                }
        return None

    def warnings(self) -> list[str]:
        cell = ", ".join(f"{name}={value}" for name, value in self._cell.items())
        where = f"setting {self._index} ({cell}): " if cell else ""
        return [where + sentence for sentence in cautions(self._planned, self._levels, self._rule)]


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
