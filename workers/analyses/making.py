"""Making one analysis of a search or of a ticket: what is stored in, canonical JSON out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lth_core.canonical import FORMAT, canonical_json
from lth_core.expansion import PlannedLineage
from service.store.record import Record
from workers.analyses.findings import Findings
from workers.analyses.of_distributions import distributions_of_search, distributions_of_ticket
from workers.analyses.of_masks import densities_of_search, densities_of_ticket, overlap_of_search, overlap_of_ticket
from workers.analyses.of_paths import barrier_of_search, instability_of_search, instability_of_ticket
from workers.analyses.of_verdicts import verdict_of_search
from workers.analyses.of_weights import movement_of_search, movement_of_ticket, signs_of_search, signs_of_ticket
from workers.analyses.stored import Stored
from workers.searched import Searched, read_search

SEARCH: Mapping[str, Callable[[Stored], Awaitable[Findings]]] = {
    "overlap": overlap_of_search,
    "signs": signs_of_search,
    "distributions": distributions_of_search,
    "layer_densities": densities_of_search,
    "movement": movement_of_search,
    "barrier": barrier_of_search,
    "instability": instability_of_search,
    "verdict": verdict_of_search,
}
TICKET: Mapping[str, Callable[[Stored, PlannedLineage, int], Awaitable[Findings]]] = {
    "overlap": overlap_of_ticket,
    "signs": signs_of_ticket,
    "distributions": distributions_of_ticket,
    "layer_densities": densities_of_ticket,
    "movement": movement_of_ticket,
    "instability": instability_of_ticket,
}


async def make_analysis(record: Record, tenant: str, subject: str, name: str) -> bytes:
    """Make one analysis; the same levels give the same bytes.

    Args:
        record: Where everything is.
        tenant: Whose subject.
        subject: Id of a search, or of a ticket of one.
        name: Which analysis: one of `SEARCH` or of `TICKET`.

    Returns:
        Canonical JSON: `object`, `name`, `subject`, the `search` it belongs to, `definitions` and `references`, the
        results, and what was `skipped` with its reason.

    Raises:
        ValueError: If there is no such analysis, or what it needs was not kept or is not computed yet.
        NotFound: If the tenant has no such search or ticket.
        ArtefactCorrupt: If stored bytes are gone or are not what they should be.
        StoreUnavailable: If the store does not answer.
    """
    known: Mapping[str, Any] = TICKET if subject.startswith("tkt_") else SEARCH
    if name not in known:
        raise ValueError(f"analysis must be one of {', '.join(known)}, got {name!r}")
    if subject.startswith("tkt_"):
        ticket = await record.found_ticket(tenant, subject)
        searched = await read_search(record, tenant, ticket.facts.plan.id)
        lineage = searched.plan.by_key[ticket.lineage.key]
        found = await TICKET[name](Stored(record, searched), lineage, int(ticket.summary["level"]))
    else:
        searched = await read_search(record, tenant, subject)
        found = await SEARCH[name](Stored(record, searched))
    return canonical_json(_document(searched, subject, name, found))


def _document(searched: Searched, subject: str, name: str, found: Findings) -> dict[str, Any]:
    settings = {str(index): lineages[0].setting for index, lineages in searched.settings.items()}
    return {
        "object": "analysis",
        "format": FORMAT,
        "name": name,
        "subject": subject,
        "search": {
            "id": searched.plan.id,
            "status": searched.facts.status(),
            "complete": searched.is_complete,
            "levels_committed": searched.num_committed,
            "levels_planned": searched.num_planned,
            "settings": settings,
        },
        "definitions": dict(found.definitions),
        "references": list(found.references),
        **found.results,
        "skipped": found.skipped,
    }
