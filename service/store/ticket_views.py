"""Level and ticket documents, as the API shows them: pure functions of the facts and of manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lth_core.canonical import digest_of
from lth_core.catalog import MASK_FORMATS
from lth_core.expansion import PlannedLineage
from lth_core.starts import level_label, start_document
from service.store.facts import Facts
from service.store.summaries import Summary

PARTS = ("mask", "rewind", "final")


def level_document(facts: Facts, lineage: PlannedLineage, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A committed level of a lineage."""
    core = manifest["core"]
    number = core["level"]
    return {
        "object": "level",
        "lineage": facts.plan.ids[lineage.key],
        "level": number,
        "status": "committed",
        "label": level_label(lineage.spec, number),
        "start": manifest.get("start") or start_document(lineage.spec, number),
        "density": core["density"],
        "kept": core["kept"],
        "prunable": core["prunable"],
        "layers": core["layers"],
        "collapsed": core["collapsed"],
        "mask_sha256": core["digests"]["mask"],
        "parent_sha256": core["parent"],
        "metrics": core["metrics"],
        "fingerprint": manifest["fingerprint"],
        "manifest_sha256": digest_of(manifest),
        "ticket": facts.plan.ticket_id(lineage.key, number, manifest["committed_at"]) if number else None,
        "epoch": manifest["epoch"],
        "attempt": manifest["attempt"],
        "committed_at": manifest["committed_at"],
    }


def open_level_document(facts: Facts, lineage: PlannedLineage, level: int) -> dict[str, Any]:
    """A level that is planned but not committed: its numbers are not known yet."""
    current = facts.overlay_of(lineage).get("current") or {}
    running = facts.lineage_status(lineage)[0] == "running" and current.get("level") == level
    unknown = ("density", "kept", "prunable", "mask_sha256", "parent_sha256", "fingerprint", "manifest_sha256")
    late = ("ticket", "epoch", "attempt", "committed_at")
    return {
        "object": "level",
        "lineage": facts.plan.ids[lineage.key],
        "level": level,
        "status": "running" if running else "pending",
        "label": level_label(lineage.spec, level),
        "start": start_document(lineage.spec, level),
        **dict.fromkeys(unknown),
        "layers": [],
        "collapsed": False,
        "metrics": {},
        **dict.fromkeys(late),
    }


def ticket_documents(facts: Facts) -> Iterator[dict[str, Any]]:
    """Yield the tickets of a search: every committed level from 1 on, of every lineage."""
    for lineage in facts.plan.lineages:
        for summary in facts.committed(lineage):
            if summary["level"]:
                yield ticket_document(facts, lineage, summary)


def ticket_document(facts: Facts, lineage: PlannedLineage, summary: Summary) -> dict[str, Any]:
    """One ticket, with the verdicts of its search; the verdicts are `{}` until judged.

    `label` says what it is called if its verdict is favourable: `winning`, `matching`, or `trained` for the output of a
    method that keeps trained weights, which is no ticket at initialisation; null for a control.
    """
    name = facts.plan.ticket_id(lineage.key, summary["level"], summary["committed_at"])
    spec = facts.plan.accepted.submission.spec
    own = f"/v1/tickets/{name}"
    return {
        "id": name,
        "object": "ticket",
        "lineage": facts.plan.ids[lineage.key],
        "search": facts.plan.id,
        "model": spec.model.name,
        "dataset": spec.dataset.name,
        "labels": facts.plan.accepted.submission.labels,
        "replicate": lineage.spec.replicate,
        "repeat": lineage.spec.repeat,
        "treatment": lineage.spec.treatment,
        "setting": lineage.setting,
        "level": summary["level"],
        "label": level_label(lineage.spec, summary["level"]),
        "density": summary["density"],
        "rewind_step": summary["rewind_step"],
        "test_accuracy": summary["metrics"]["test_accuracy"],
        "early_stop_step": summary["metrics"]["early_stop_step"],
        "collapsed": summary["collapsed"],
        "verdicts": verdicts_of(facts, lineage, summary["level"]),
        "mask_sha256": summary["mask_sha256"],
        "rewind_sha256": summary["rewind_sha256"],
        "final_sha256": final_sha256(facts, lineage, summary),
        "mask_bytes": summary["mask_bytes"],
        "formats": list(MASK_FORMATS),
        "committed_at": summary["committed_at"],
        "urls": {"self": own, **{part: f"{own}/{part}" for part in (*PARTS, "manifest")}},
    }


def ticket_places(facts: Facts) -> dict[str, str]:
    """Where each ticket of a search lies: ticket id to `search/key/level`."""
    places: dict[str, str] = {}
    for lineage in facts.plan.lineages:
        for level in facts.committed(lineage):
            if level["level"]:
                name = facts.plan.ticket_id(lineage.key, level["level"], level["committed_at"])
                places[name] = f"{facts.plan.id}/{lineage.key}/{level['level']}"
    return places


def verdicts_of(facts: Facts, lineage: PlannedLineage, level: int) -> dict[str, Any]:
    """What the search judged about a setting's ticket at a level; controls are not judged."""
    if lineage.source_key is not None:
        return {}
    for judged in (facts.results or {}).get("levels", []):
        if judged["setting"] == lineage.setting_index and judged["level"] == level:
            return dict(judged.get("verdicts") or {})
    return {}


def final_sha256(facts: Facts, lineage: PlannedLineage, summary: Summary) -> str | None:
    """Digest of a ticket's trained weights, kept for every level or, by the results, for the best ticket."""
    if summary["final_sha256"]:
        return str(summary["final_sha256"])
    best = (facts.results or {}).get("best")
    if best and (best["key"], best["level"]) == (lineage.key, summary["level"]) and best.get("final"):
        return str(best["final"]["sha256"])
    return None


def best_ticket(facts: Facts) -> dict[str, Any] | None:
    """The best ticket of a judged search, None before or where there is none."""
    best = (facts.results or {}).get("best")
    lineage = facts.plan.by_key.get(best["key"]) if best else None
    summary = facts.level(lineage, best["level"]) if best and lineage else None
    return ticket_document(facts, lineage, summary) if lineage and summary else None
