"""Check of a search's verdicts: judged again from the committed levels of all replicates and controls."""

from __future__ import annotations

from typing import Any

from lth_core.results import search_results
from workers.evidence import Evidence, Judgement
from workers.report import Failed, Skipped


def check_verdicts(evidence: Evidence) -> str:
    """The verdicts of the ticket's level follow from the committed levels; controls share their ticket's."""
    judgement = evidence.judgement
    if isinstance(judgement, str):
        raise Skipped(judgement)
    index = judgement.planned[0].setting_index
    recorded = _level(judgement.levels, index, evidence.level)
    if recorded is None:
        raise Skipped(f"the search's results do not speak of level {evidence.level}")
    again = _level(_judge_again(judgement), index, evidence.level)
    assert again is not None  # the ticket itself is among the levels
    for name in sorted(recorded.keys() & again.keys() - {"p_holm"}):
        if recorded[name] != again[name]:
            if not judgement.final:
                raise Skipped("lineages of this setting ended early; levels may have been added since it was judged")
            raise Failed(f"{name}: {recorded[name]}, judged again {again[name]}")
    verdicts = ", ".join(f"{name} {value}" for name, value in recorded["verdicts"].items())
    return f"{len(judgement.planned)} lineages judged again: {verdicts or 'nothing to judge'}"


def _judge_again(judgement: Judgement) -> list[dict[str, Any]]:
    cores = {
        key: {level: manifest["core"] for level, manifest in levels.items()}
        for key, levels in judgement.manifests.items()
    }
    levels: list[dict[str, Any]] = search_results(judgement.spec, judgement.planned, cores)["levels"]
    return levels


def _level(levels: list[dict[str, Any]], setting: int, level: int) -> dict[str, Any] | None:
    return next((one for one in levels if (one["setting"], one["level"]) == (setting, level)), None)
