"""A small search, computed in this process and committed to a real record, as drivers and engines would."""

from __future__ import annotations

from typing import Any

from lth_core.canonical import sha256_hex
from lth_core.expansion import PlannedLineage
from lth_core.results import search_results
from lth_core.spec import Submission
from service.store.record import Record
from tests.support.chains import TENANT, Computed, compute, digits
from workers.registration import register


async def commit_search(record: Record, submission: Submission) -> tuple[str, Computed]:
    """Register digits, submit, lead, compute and commit every level, and end the search.

    The best ticket is the last level of the first chain; its trained weights are kept as the end of a search does.

    Returns:
        The search's id, and what was committed.
    """
    await register(record, digits())
    document, _ = await record.submit(TENANT, submission, idempotency_key=f"key-{id(submission)}", fingerprint="0" * 64)
    search = str(document["id"])
    lease = await record.lead("test")
    assert lease is not None
    await record.recover(lease.epoch)
    await record.take_over(TENANT, search, lease.epoch)
    computed = compute(submission, search=search)
    for data in computed.blobs.values():
        await record.objects.put_blob(TENANT, data)
    for (key, level), manifest in computed.manifests.items():
        _, standing = await record.commit_level(TENANT, search, key, level, manifest, lease.epoch)
        assert standing in ("committed", "adopted")
    judged = search_results(submission.spec, computed.lineages, computed.cores())
    results = await record.put_results(TENANT, search, {**judged, "best": await _best(record, computed)})
    await record.finish(TENANT, search, "succeeded", None, results, lease.epoch)
    await lease.release()
    return search, computed


async def ticket_of(record: Record, search: str, lineage: PlannedLineage, level: int) -> str:
    """Return the name of the ticket at a level of a lineage."""
    page = await record.tickets(TENANT, limit=200, search=search)
    plan = await record.plan(TENANT, search)
    wanted = (plan.ids[lineage.key], level)
    return next(str(one["id"]) for one in page.data if (one["lineage"], one["level"]) == wanted)


async def _best(record: Record, computed: Computed) -> dict[str, Any]:
    lineage = computed.lineage("winning_ticket")
    level = lineage.spec.prune.levels
    result = computed.finals[lineage.key, level]
    ref = await record.objects.put_blob(TENANT, result)
    assert ref.sha256 == sha256_hex(result)
    return {"key": lineage.key, "level": level, "final": {"sha256": ref.sha256, "size_bytes": ref.size_bytes}}
