"""What stands behind a report's figures: counts against the ladder, ends of lineages, environments and digests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from lth_core.expansion import PlannedLineage
from service.store.ticket_views import verdicts_of
from workers.reporting import words
from workers.searched import Manifest, Searched


def counts(searched: Searched) -> dict[str, Any]:
    """Compare the kept weights of every committed level of the chains with the ladder known before training.

    Returns:
        `checked`: how many levels; `mismatches`: those that keep another number; `reason` where nothing is checked.
    """
    if not searched.ladders:
        return {"checked": 0, "mismatches": [], "reason": "a transferred ticket brings its own counts"}
    checked, mismatches = 0, []
    for own, level, manifest in _chain_levels(searched):
        expected, kept = searched.ladders[own.setting_index][level], manifest["core"]["kept"]
        checked += 1
        if kept != expected:
            place = {"setting": own.setting_index, "replicate": own.spec.replicate, "level": level}
            mismatches.append({**place, "kept": kept, "expected": expected})
    return {"checked": checked, "mismatches": mismatches, "reason": None}


def lineages(searched: Searched) -> dict[str, Any]:
    """Return how the lineages stand: their number by state, and every one that did not reach its end."""
    facts = searched.facts
    states = Counter(facts.lineage_status(own)[0] for own in searched.plan.lineages)
    ends = [_end(searched, own) for own in searched.plan.lineages]
    unfinished = [end for end in ends if end["status"] in ("failed", "stopped", "skipped", "cancelled")]
    failures = [end for end in unfinished if end["status"] == "failed"]
    return {
        "num": len(searched.plan.lineages),
        "states": dict(sorted(states.items())),
        "ended_early": unfinished,
        "failures": failures,
        "failures_by_class": dict(sorted(Counter(_class(end) for end in failures).items())),
        "diverged": [end for end in unfinished if end["reason"] == "nonfinite"],
        "stopped": [end for end in unfinished if end["status"] == "stopped"],
    }


def environments(searched: Searched) -> list[dict[str, Any]]:
    """Return every environment that levels of this search were computed in, the most used one first."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for manifest in _manifests(searched):
        code = str(manifest.get("provenance", {}).get("code", "unknown"))
        key = (manifest["fingerprint_sha256"], manifest["engine"], code)
        own = found.setdefault(
            key,
            {
                "fingerprint_sha256": key[0],
                "engine": key[1],
                "code": key[2],
                "levels": 0,
                "fingerprint": dict(manifest["fingerprint"]),
            },
        )
        own["levels"] += 1
    return sorted(found.values(), key=lambda one: (-one["levels"], one["fingerprint_sha256"], one["code"]))


def tickets(searched: Searched) -> list[dict[str, Any]]:
    """Return the output of every chain and level from 1 on, by id and digests, with the verdicts of its level."""
    found = []
    for own, level, manifest in _chain_levels(searched):
        if level == 0:
            continue
        digests, metrics = manifest["core"]["digests"], manifest["core"]["metrics"]
        found.append(
            {
                "id": searched.plan.ticket_id(own.key, level, manifest["committed_at"]),
                "setting": own.setting_index,
                "replicate": own.spec.replicate,
                "level": level,
                "density": manifest["core"]["density"],
                "test_accuracy": metrics["test_accuracy"],
                "early_stop_step": metrics["early_stop_step"],
                "mask_sha256": digests["mask"],
                "rewind_sha256": digests["rewind"],
                "final_sha256": digests.get("final"),
                "core_sha256": manifest["core_sha256"],
                "start": manifest.get("start"),
                "verdicts": verdicts_of(searched.facts, own, level),
            }
        )
    return found


def best(searched: Searched) -> dict[str, Any] | None:
    """Return the ticket that the search is known by, None where there is none."""
    chosen = searched.judged.get("best")
    if not chosen:
        return None
    own = searched.plan.by_key[chosen["key"]]
    return next(
        one
        for one in tickets(searched)
        if (one["setting"], one["replicate"], one["level"]) == (own.setting_index, own.spec.replicate, chosen["level"])
    )


def _class(end: Mapping[str, Any]) -> str:
    return str((end["error"] or {}).get("class") or end["reason"] or "unknown")


def _end(searched: Searched, lineage: PlannedLineage) -> dict[str, Any]:
    facts, spec = searched.facts, lineage.spec
    status, reason = facts.lineage_status(lineage)
    outcome = facts.log.outcomes.get(searched.plan.ids[lineage.key])
    error: Mapping[str, Any] | None = outcome.error if outcome is not None else None
    return {
        "lineage": searched.plan.ids[lineage.key],
        "setting": lineage.setting_index,
        "treatment": words.treatment_key(spec.treatment, searched.label(lineage.setting_index)),
        "replicate": spec.replicate,
        "repeat": spec.repeat,
        "status": status,
        "reason": reason,
        "levels_done": len(searched.levels(lineage)),
        "levels_planned": lineage.num_levels,
        "error": None if error is None else {name: error.get(name) for name in ("class", "message", "level", "step")},
    }


def _chain_levels(searched: Searched) -> Iterator[tuple[PlannedLineage, int, Manifest]]:
    for own in searched.chains:
        for level in searched.levels(own):
            manifest = searched.manifest(own, level)
            assert manifest is not None
            yield own, level, manifest


def _manifests(searched: Searched) -> Iterator[Manifest]:
    """Yield every manifest that the search stands on, once."""
    seen = set()
    for own in searched.plan.lineages:
        for level in searched.levels(own):
            key = own.key_of_level(level)
            manifest = searched.manifest(own, level)
            if manifest is not None and (key, level) not in seen:
                seen.add((key, level))
                yield manifest
