"""Reading what a verification needs: manifests and blobs straight from the objects, damaged ones noted as such."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from lth_core.canonical import sha256_hex
from lth_core.expansion import PlannedLineage
from service.store import keys
from service.store.errors import ArtefactCorrupt, ObjectNotFound, UnknownDataset
from service.store.plans import Plan
from service.store.record import Record
from workers.evidence import Arrays, Blobs, Evidence, Judgement, Manifest
from workers.report import Failed

MAX_PARALLEL_READS = 8


async def gather(record: Record, tenant: str, ticket_id: str) -> Evidence:
    """Read a ticket, its chain down to the dense network, the chain of its masks, and every blob of both.

    Raises:
        NotFound: If the tenant has no such ticket.
        Failed: If a level of either chain is missing or cannot be read as a manifest.
        StoreUnavailable: If the store does not answer.
    """
    ticket = await record.ticket(tenant, ticket_id)
    plan = await record.plan(tenant, ticket["search"])
    lineage = plan.by_id[ticket["lineage"]]
    source = plan.by_key[lineage.source_key] if lineage.source_key else lineage
    level = int(ticket["level"])
    chain = await _chain(record, tenant, lineage, level)
    found = chain if source is lineage else await _chain(record, tenant, source, level)
    final, origin = ticket["final_sha256"], lineage.spec.origin
    named = {final} if final else set()
    named |= {origin.mask_sha256, origin.rewind_sha256} if origin is not None else set()
    blobs = await _blobs(record, tenant, named.union(*(_named(manifest) for manifest in (*chain, *found))))
    return Evidence(
        tenant=tenant,
        lineage=lineage.spec,
        key=lineage.key,
        dense_key=lineage.dense_key,
        source_key=source.key,
        chain=chain,
        source=found,
        blobs=blobs,
        final=blobs.contents.get(final) if final else None,
        margin=plan.accepted.submission.spec.rule.margin,
        data=await _data(record, lineage.spec.dataset_name, lineage.spec.dataset_digest),
        judgement=await _judgement(record, plan, lineage.setting_index),
    )


async def _chain(record: Record, tenant: str, lineage: PlannedLineage, level: int) -> tuple[Manifest, ...]:
    """Return a lineage's manifests from level 0, its own or the dense network's, to a level."""
    found = {key: await _manifests(record, tenant, key) for key in (lineage.dense_key, lineage.key)}
    chain: list[Manifest] = []
    for number in range(level + 1):
        manifest = found[lineage.key_of_level(number)].get(number)
        if not isinstance(manifest, dict):
            raise Failed(f"level {number} of lineage {lineage.key[:12]} has no manifest")
        chain.append(manifest)
    return tuple(chain)


async def _manifests(record: Record, tenant: str, key: str) -> dict[int, Manifest]:
    try:
        return await record.manifests(tenant, key)
    except ValueError as error:
        raise Failed(f"a manifest of lineage {key[:12]} is not JSON: {error}") from error


def _named(manifest: Manifest) -> set[str]:
    """Return the digests of the blobs that a manifest says are stored, where it says so readably."""
    stored = manifest.get("stored")
    if not isinstance(stored, dict):
        return set()
    references = [reference for reference in stored.values() if isinstance(reference, dict)]
    return {str(reference["sha256"]) for reference in references if "sha256" in reference}


async def _blobs(record: Record, tenant: str, digests: Iterable[str]) -> Blobs:
    blobs = Blobs()
    reads = asyncio.Semaphore(MAX_PARALLEL_READS)

    async def read(sha256: str) -> None:
        async with reads:
            try:
                blobs.contents[sha256] = await record.objects.get_blob(tenant, sha256)
            except ObjectNotFound:
                blobs.damage[sha256] = "is gone"
            except (ArtefactCorrupt, ValueError) as error:
                blobs.damage[sha256] = str(error)

    await asyncio.gather(*(read(sha256) for sha256 in sorted(digests)))
    return blobs


async def _judgement(record: Record, plan: Plan, setting: int) -> Judgement | str:
    """Return what a search said of one of its settings, with all manifests it can have said it from."""
    facts, _ = await record.facts(plan.tenant, plan.id)
    terminal = facts.log.terminal
    if terminal is None or terminal.results is None:
        return "the search has not been judged"
    try:
        raw = await record.objects.get(keys.results(plan.tenant, plan.id, terminal.results))
    except ObjectNotFound:
        raise Failed("the search's results are gone") from None
    if sha256_hex(raw) != terminal.results:
        raise Failed(f"the search's results do not have their digest {terminal.results[:12]}")
    planned = tuple(own for own in plan.lineages if own.setting_index == setting)
    names = dict.fromkeys(key for own in planned for key in (own.dense_key, own.key))
    found = {key: await _manifests(record, plan.tenant, key) for key in names}
    return Judgement(
        spec=plan.accepted.submission.spec,
        planned=planned,
        manifests=found,
        levels=json.loads(raw)["levels"],
        final=terminal.status == "succeeded" and not any(plan.ids[own.key] in facts.log.outcomes for own in planned),
    )


async def _data(record: Record, name: str, digest: str) -> Arrays | str:
    """Return the data set's arrays, or why they cannot be had."""
    try:
        return dict(await record.dataset_arrays(name, digest))
    except UnknownDataset:
        return f"data set {name} {digest[:12]} is no longer in the store"
    except ArtefactCorrupt as error:
        return str(error)
