"""Search and lineage documents, as the API shows them: pure functions of the facts.

Results (the object that `put_results` stores) are read here as `{"levels": [{"setting": index, "level": n,
"verdicts": {...}}, ...], "best": {"key": lineage key, "level": n, "final": {"sha256", "size_bytes"} or absent} or
null, "usage": {"gpu_seconds", "cpu_seconds"}}`; other members pass unread.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from lth_core.expansion import PlannedLineage
from service.store import clock
from service.store.facts import Facts
from service.store.ticket_views import best_ticket

LINEAGE_STATES = (
    "blocked",
    "pending",
    "running",
    "retrying",
    "paused",
    "succeeded",
    "stopped",
    "failed",
    "cancelled",
    "skipped",
)
EDITABLE = ("name", "labels", "note", "priority", "budget")
MAX_ATTEMPTS = 5


def search_document(facts: Facts) -> dict[str, Any]:
    """The search, as POST answers with it and GET shows it."""
    plan, log = facts.plan, facts.log
    submission = plan.accepted.submission
    shown = {
        "name": submission.title,
        "labels": submission.labels,
        "note": submission.note,
        "priority": submission.priority,
        "budget": submission.budget.model_dump(mode="json"),
        **{name: value for name, value in log.settings.items() if name in EDITABLE},
    }
    return {
        "id": plan.id,
        "object": "search",
        "name": shown["name"],
        "status": facts.status(),
        "reason": log.terminal.reason if log.terminal else None,
        "revision": log.revision,
        "created_at": clock.to_text(plan.accepted.accepted_at),
        "parent": None,
        "relation": None,
        "labels": shown["labels"],
        "note": shown["note"],
        "priority": shown["priority"],
        "status_at": _status_at(facts),
        "best": best_ticket(facts),
        "usage": _usage(facts),
        "counts": _counts(facts),
        "provenance": dict(plan.accepted.provenance),
        "progress": _progress(facts),
        "conditions": list(facts.overlay.get("conditions", [])),
        "spec": submission.spec.model_dump(mode="json"),
        "spec_digest": f"sha256:{plan.spec_digest}",
        "resources": submission.resources.model_dump(mode="json"),
        "budget": shown["budget"],
        "results": log.terminal.results if log.terminal else None,
        "urls": _urls(plan.id),
    }


def lineage_documents(facts: Facts) -> list[dict[str, Any]]:
    """All lineages of a search, in the order of the expansion."""
    return [lineage_document(facts, lineage) for lineage in facts.plan.lineages]


def lineage_document(facts: Facts, lineage: PlannedLineage) -> dict[str, Any]:
    """One lineage within a search."""
    plan, committed, live = facts.plan, facts.committed(lineage), facts.overlay_of(lineage)
    status, reason = facts.lineage_status(lineage)
    outcome = facts.log.outcomes.get(plan.ids[lineage.key])
    adopted = [level["search"] for level in committed if level["search"] != plan.id]
    active = status in ("running", "retrying")
    error = outcome.error if outcome is not None and status == outcome.status else live.get("error")
    return {
        "id": plan.ids[lineage.key],
        "object": "lineage",
        "search": plan.id,
        "key": f"sha256:{lineage.key}",
        "dense_key": f"sha256:{lineage.dense_key}",
        "replicate": lineage.spec.replicate,
        "repeat": lineage.spec.repeat,
        "treatment": lineage.spec.treatment,
        "mask_from": plan.ids[lineage.source_key] if lineage.source_key else None,
        "setting": lineage.setting,
        "setting_index": lineage.setting_index,
        "prune_fraction": lineage.spec.prune.fraction,
        "rewind_step": lineage.spec.rewind.step,
        "status": status,
        "reason": reason,
        "levels_done": len(committed),
        "levels_total": lineage.num_levels,
        "attempt": live.get("attempt", 1 if active else 0),
        "max_attempts": live.get("max_attempts", MAX_ATTEMPTS),
        "error": dict(error) if error else None,
        "node": live.get("node") if active else None,
        "heartbeat_at": live.get("heartbeat_at"),
        "current": live.get("current") if active else None,
        "status_at": _lineage_status_at(facts, lineage, status),
        "adopted_from": adopted[0] if adopted else None,
    }


def _status_at(facts: Facts) -> dict[str, str]:
    log = facts.log
    times = {
        "queued": clock.to_text(facts.plan.accepted.accepted_at),
        "provisioning": log.taken_over_at,
        "running": facts.overlay.get("status_at", {}).get("running") or facts.first_commit_at(),
        "cancelling": log.cancelled_at,
    }
    if log.terminal is not None:
        times[log.terminal.status] = log.terminal.at
    return {state: at for state, at in times.items() if at is not None}


def _lineage_status_at(facts: Facts, lineage: PlannedLineage, status: str) -> dict[str, str]:
    times: dict[str, str] = dict(facts.overlay_of(lineage).get("status_at", {}))
    times.setdefault("pending", clock.to_text(facts.plan.accepted.accepted_at))
    outcome = facts.log.outcomes.get(facts.plan.ids[lineage.key])
    committed = facts.committed(lineage)
    if outcome is not None and status == outcome.status:
        times[status] = outcome.at
    elif status in ("succeeded", "stopped") and committed:
        times[status] = committed[-1]["committed_at"]
    elif status in ("cancelled", "skipped") and facts.log.terminal is not None:
        times[status] = facts.log.terminal.at
    return times


def _usage(facts: Facts) -> dict[str, float]:
    usage = (facts.results or {}).get("usage") or facts.overlay.get("usage") or {}
    return {name: float(usage.get(name, 0.0)) for name in ("gpu_seconds", "cpu_seconds")}


def _counts(facts: Facts) -> dict[str, int]:
    states = Counter(facts.lineage_status(lineage)[0] for lineage in facts.plan.lineages)
    return {"lineages": len(facts.plan.lineages), **{state: states[state] for state in LINEAGE_STATES}}


def _progress(facts: Facts) -> dict[str, Any]:
    done = [level for lineage in facts.plan.lineages for level in facts.committed(lineage)]
    total = sum(lineage.num_levels for lineage in facts.plan.lineages)
    return {
        "levels_done": len(done),
        "levels_adopted": sum(level["search"] != facts.plan.id for level in done),
        "levels_total": total,
        "fraction": len(done) / total,
        "eta": facts.overlay.get("eta"),
        "queue_position": facts.queue_position,
    }


def _urls(search_id: str) -> dict[str, str]:
    own = f"/v1/searches/{search_id}"
    parts = {name: f"{own}/{name}" for name in ("events", "lineages", "cancel", "curves", "report")}
    return {"self": own, **parts}
