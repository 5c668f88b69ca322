"""The last deeds for a search: results, its best ticket, and the terminal record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lth_core.starts import level_label
from service.store.record import Record
from service.store.work import SearchTruth
from workers.judging import keep_final_weights, results, status_of
from workers.patience import persist
from workers.scribe import PATIENCE_S, Scribe

CANCELLED = "cancelled by the client"


async def conclude(
    record: Record,
    truth: SearchTruth,
    scribe: Scribe,
    ends: Iterable[tuple[str, str | None]],
    *,
    epoch: int,
    cut_short: str | None,
    is_cancelled: bool,
) -> str:
    """End a search whose lineages have all ended; return the status that stands.

    Args:
        record: The record.
        truth: The search.
        scribe: What was committed, and the way to its listeners.
        ends: State and reason of every lineage.
        epoch: The leader's epoch.
        cut_short: `deadline_exceeded` or `budget_exhausted`, if that ended it.
        is_cancelled: Whether a client wished it to end.
    """
    found = results(truth.submission.spec, truth.lineages, scribe.manifests, truth.id)
    best = found["best"]
    if best is not None:
        manifest = scribe.manifests[best["key"]][best["level"]]
        final = await persist(lambda: keep_final_weights(record.objects, truth.tenant, manifest), PATIENCE_S)
        found = {**found, "best": {**best, "final": final} if final else best}
        await _tell(scribe, truth, manifest)
    status, reason = status_of(ends, truth.submission.budget.max_failed_lineages, cut_short)
    if is_cancelled:
        status, reason = "cancelled", CANCELLED

    async def end() -> str:
        sha256 = await record.put_results(truth.tenant, truth.id, found)
        return (await record.finish(truth.tenant, truth.id, status, reason, sha256, epoch)).status

    return await persist(end, PATIENCE_S)


async def _tell(scribe: Scribe, truth: SearchTruth, manifest: dict[str, Any]) -> None:
    core = manifest["core"]
    lineage, level = truth.lineage_ids[core["key"]], core["level"]
    ticket = truth.plan.ticket_id(core["key"], level, manifest["committed_at"])
    data = {
        "ticket": ticket,
        "label": level_label(truth.plan.by_key[core["key"]].spec, level),
        "density": core["density"],
        "test_accuracy": core["metrics"]["test_accuracy"],
    }
    await scribe.emit(f"{lineage}:{level}:ticket", "ticket.found", data, lineage, level)
