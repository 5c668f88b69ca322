"""Reading tickets: lists by what they are worth, one by its name, and its bytes, verified."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lth_core.expansion import PlannedLineage
from service.store.documents import Document, Page
from service.store.errors import ArtefactCorrupt, BadCursor, NotFound, NotKept, ObjectNotFound, RedisUnavailable
from service.store.facts import Facts
from service.store.objects import BlobRef
from service.store.reading import SCAN_AT_ONCE, Reading, has_label
from service.store.sources import Source
from service.store.summaries import Summary
from service.store.ticket_views import final_sha256, ticket_document, ticket_documents, ticket_places

Sort = Literal["-created_at", "density", "-test_accuracy"]
Part = Literal["mask", "rewind", "final"]


@dataclass(frozen=True)
class Found:
    """A ticket with everything around it."""

    facts: Facts
    lineage: PlannedLineage
    summary: Summary


class Tickets(Reading):
    """The reading half of the record, for tickets."""

    async def tickets(
        self,
        tenant: str,
        *,
        limit: int,
        after: str | None = None,
        search: str | None = None,
        verdict: str | None = None,
        treatment: str | None = None,
        model: str | None = None,
        dataset: str | None = None,
        min_accuracy: float | None = None,
        max_density: float | None = None,
        label: str | None = None,
        output: str | None = None,
        sort: Sort = "-created_at",
    ) -> Page:
        """List a tenant's tickets; `after` is the id of the last ticket of the page before.

        Raises:
            BadCursor: If `after` is no ticket of this list.
            RedisUnavailable: If more than one search must be looked through while Redis is down.
        """

        def wanted(ticket: dict[str, Any]) -> bool:
            accuracy = ticket["test_accuracy"]
            return (
                (verdict is None or ticket["verdicts"].get(verdict) == "yes")
                and (treatment is None or ticket["treatment"] == treatment)
                and (model is None or ticket["model"] == model)
                and (dataset is None or ticket["dataset"] == dataset)
                and (min_accuracy is None or (accuracy is not None and accuracy >= min_accuracy))
                and (max_density is None or ticket["density"] <= max_density)
                and (output is None or ticket["label"] == output)
                and (label is None or has_label(ticket["labels"], label))
            )

        async def operation(source: Source) -> list[dict[str, Any]]:
            if search is None and source is self.stored:
                raise RedisUnavailable("lists of tickets over all searches need the index, which is not available")
            names = await source.search_ids(tenant) if search is None else [search]
            found: list[dict[str, Any]] = []
            for start in range(0, len(names), SCAN_AT_ONCE):
                some = (self._listed(source, tenant, name) for name in names[start : start + SCAN_AT_ONCE])
                for facts in await asyncio.gather(*some):
                    found += filter(wanted, ticket_documents(facts) if facts else ())
            return found

        found, degraded = await self.read(operation)
        found.sort(key=_ORDERS[sort])
        if after is not None:
            places = [place for place, one in enumerate(found) if one["id"] == after]
            if not places:
                raise BadCursor("the cursor is no position in this list")
            found = found[places[0] + 1 :]
        shown = [Document(one, degraded) for one in found[:limit]]
        return Page(list(shown), shown[-1]["id"] if len(found) > limit else None, degraded)

    async def ticket(self, tenant: str, ticket_id: str) -> Document:
        """Return one ticket.

        Raises:
            NotFound: If the tenant has none of this id.
        """
        found, degraded = await self.read(lambda source: self._find(source, tenant, ticket_id))
        return Document(ticket_document(found.facts, found.lineage, found.summary), degraded)

    async def found_ticket(self, tenant: str, ticket_id: str) -> Found:
        """Return one ticket with everything around it.

        Raises:
            NotFound: If the tenant has none of this id.
        """
        return (await self.read(lambda source: self._find(source, tenant, ticket_id)))[0]

    async def ticket_manifest(self, tenant: str, ticket_id: str) -> Document:
        """Return the manifest of a ticket's level, as stored.

        Raises:
            NotFound: If the tenant has no such ticket.
        """

        async def operation(source: Source) -> dict[str, Any]:
            found = await self._find(source, tenant, ticket_id)
            manifest = await source.manifest(tenant, found.lineage.key, found.summary["level"])
            if manifest is None:
                raise NotFound("there is no such ticket")
            return manifest

        manifest, degraded = await self.read(operation)
        document = Document(manifest)
        document.degraded = degraded
        return document

    async def ticket_blob(self, tenant: str, ticket_id: str, part: Part) -> tuple[BlobRef, bytes]:
        """Return the verified bytes of a ticket's mask, rewind weights or final weights.

        Raises:
            NotFound: If the tenant has no such ticket.
            NotKept: If its search did not keep this part.
            ArtefactCorrupt: If the bytes are gone or do not match their digest.
            StoreUnavailable: If the store does not answer.
        """
        found = await self.found_ticket(tenant, ticket_id)
        digests = {
            "mask": found.summary["mask_sha256"],
            "rewind": found.summary["rewind_sha256"],
            "final": final_sha256(found.facts, found.lineage, found.summary),
        }
        digest = digests[part]
        if digest is None:
            keep = found.facts.plan.accepted.submission.spec.keep
            raise NotKept(f"the search keeps {keep!r}; its {part} weights were not kept for this ticket")
        data = await self.blob(tenant, digest)
        return BlobRef(digest, len(data)), data

    async def blob(self, tenant: str, sha256: str) -> bytes:
        """Return a blob that some document names, verified.

        Raises:
            ArtefactCorrupt: If it is gone or does not match its digest.
            StoreUnavailable: If the store does not answer.
        """
        try:
            return await self.objects.get_blob(tenant, sha256)
        except ObjectNotFound:
            raise ArtefactCorrupt(f"blob {sha256} is gone") from None

    async def _find(self, source: Source, tenant: str, ticket_id: str) -> Found:
        place = await self._place(source, tenant, ticket_id)
        if place is None:
            raise NotFound("there is no such ticket")
        search_id, key, level = place.split("/")
        facts = await self.facts_of(source, await self.plan(tenant, search_id, source=source))
        lineage = facts.plan.by_key[key]
        summary = facts.level(lineage, int(level))
        if summary is None:
            raise NotFound("there is no such ticket")
        return Found(facts, lineage, summary)

    async def _place(self, source: Source, tenant: str, ticket_id: str) -> str | None:
        """Find where a ticket lies: in the index, or by going through the searches that may have adopted it."""
        if not ticket_id.startswith("tkt_"):
            return None
        if source is self.indexed:
            raw, live = await self.index.read(
                lambda pipe, own: (pipe.hget(f"{own}tickets:{tenant}", ticket_id), pipe.zrange(f"{own}live", 0, -1))
            )
            if raw is not None:
                return str(raw.decode())
            members = [member.decode().split("/") for member in live]
            names = [name for name, owner in members if owner == tenant]
        else:
            names = await source.search_ids(tenant)
        for name in names:
            facts = await self._listed(source, tenant, name)
            place = ticket_places(facts).get(ticket_id) if facts else None
            if place is not None:
                return place
        return None


def _newest(ticket: dict[str, Any]) -> Any:
    return tuple(-ord(char) for char in ticket["id"])


_ORDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "-created_at": _newest,
    "density": lambda ticket: (ticket["density"], ticket["id"]),
    "-test_accuracy": lambda ticket: (-(ticket["test_accuracy"] or 0.0), ticket["id"]),
}
