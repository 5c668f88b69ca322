"""Reading searches, lineages and levels: from the index, or from the objects while Redis is down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from service.store import keys, views
from service.store.core import Core
from service.store.documents import Document, Documents, Page
from service.store.errors import BadCursor, NotFound, RedisUnavailable
from service.store.facts import Facts
from service.store.sources import Source
from service.store.ticket_views import level_document, open_level_document

SCAN_AT_ONCE = 16


class Reading(Core):
    """The reading half of the record, for searches and what they consist of."""

    async def search(self, tenant: str, search_id: str) -> Document:
        """Return a search.

        Raises:
            NotFound: If the tenant has none of this id.
        """
        facts, degraded = await self.facts(tenant, search_id)
        return Document(views.search_document(facts), degraded)

    async def searches(
        self,
        tenant: str,
        *,
        limit: int,
        after: str | None = None,
        status: str | None = None,
        label: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Page:
        """List a tenant's searches, newest first.

        Args:
            tenant: Whose searches.
            limit: Searches per page.
            after: Id of the last search of the page before.
            status: Only searches in this state.
            label: Only searches with this label, as `name=value`.
            created_after: Only searches accepted later.
            created_before: Only searches accepted earlier.

        Raises:
            BadCursor: If `after` is no search id.
            RedisUnavailable: If filters are asked for while Redis is down.
        """
        if after is not None and not keys.is_search_id(after):
            raise BadCursor("the cursor is no position in a list of searches")
        filters = (status, label, created_after, created_before)

        async def operation(source: Source) -> list[dict[str, Any]]:
            if source is self.stored and any(value is not None for value in filters):
                raise RedisUnavailable("filters need the index, which is not available")
            names = [name for name in await source.search_ids(tenant) if after is None or name < after]
            found: list[dict[str, Any]] = []
            for start in range(0, len(names), SCAN_AT_ONCE):
                wanted = names[start : start + SCAN_AT_ONCE]
                some = await asyncio.gather(*(self._listed(source, tenant, name) for name in wanted))
                found += [views.search_document(facts) for facts in some if facts and _matches(facts, *filters)]
                if len(found) > limit:
                    break
            return found

        found, degraded = await self.read(operation)
        shown = [Document(one, degraded) for one in found[:limit]]
        return Page(list(shown), shown[-1]["id"] if len(found) > limit else None, degraded)

    async def lineages(
        self,
        tenant: str,
        search_id: str,
        *,
        limit: int,
        after: str | None = None,
        status: str | None = None,
        treatment: str | None = None,
        replicate: int | None = None,
        setting: int | None = None,
    ) -> Page:
        """List a search's lineages in the order of its expansion, `after` being a lineage id.

        Raises:
            NotFound: If the tenant has no such search.
            BadCursor: If `after` is no lineage of the search.
        """
        facts, degraded = await self.facts(tenant, search_id)
        wanted = {"status": status, "treatment": treatment, "replicate": replicate, "setting_index": setting}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        documents = views.lineage_documents(facts)
        rest = _after(documents, after)
        found = [one for one in rest if all(one[name] == value for name, value in wanted.items())]
        shown = [Document(one, degraded) for one in found[:limit]]
        return Page(list(shown), shown[-1]["id"] if len(found) > limit else None, degraded)

    async def lineage(self, tenant: str, search_id: str, lineage_id: str) -> Document:
        """Return one lineage of a search.

        Raises:
            NotFound: If there is none of this id.
        """
        facts, degraded = await self.facts(tenant, search_id)
        return Document(views.lineage_document(facts, _lineage(facts, lineage_id)), degraded)

    async def levels(self, tenant: str, search_id: str, lineage_id: str) -> Documents:
        """Return the committed levels of a lineage, from its first one on.

        Raises:
            NotFound: If there is no such lineage.
        """

        async def operation(source: Source) -> list[dict[str, Any]]:
            facts = await self.facts_of(source, await self.plan(tenant, search_id, source=source))
            lineage = _lineage(facts, lineage_id)
            numbers = [summary["level"] for summary in facts.committed(lineage)]
            manifests = await asyncio.gather(
                *(source.manifest(tenant, lineage.key_of_level(number), number) for number in numbers)
            )
            return [level_document(facts, lineage, manifest) for manifest in manifests if manifest]

        found, degraded = await self.read(operation)
        return Documents(found, degraded)

    async def level(self, tenant: str, search_id: str, lineage_id: str, number: int) -> Document:
        """Return one level of a lineage, committed, running or pending.

        Raises:
            NotFound: If the lineage is not planned to have it.
        """

        async def operation(source: Source) -> dict[str, Any]:
            facts = await self.facts_of(source, await self.plan(tenant, search_id, source=source))
            lineage = _lineage(facts, lineage_id)
            if not lineage.first_level <= number < lineage.first_level + lineage.num_levels:
                raise NotFound("the lineage has no such level")
            if facts.level(lineage, number) is None:
                return open_level_document(facts, lineage, number)
            manifest = await source.manifest(tenant, lineage.key_of_level(number), number)
            if manifest is None:
                raise NotFound("the lineage has no such level")
            return level_document(facts, lineage, manifest)

        found, degraded = await self.read(operation)
        return Document(found, degraded)

    async def results(self, tenant: str, search_id: str) -> dict[str, Any] | None:
        """Return a search's results as they were put, None before its end.

        Raises:
            NotFound: If the tenant has no such search.
        """
        facts, _ = await self.facts(tenant, search_id)
        return dict(facts.results) if facts.results is not None else None

    async def _listed(self, source: Source, tenant: str, search_id: str) -> Facts | None:
        try:
            return await self.facts_of(source, await self.plan(tenant, search_id, source=source))
        except NotFound:
            return None  # a folder of the store whose specification was never accepted


def _lineage(facts: Facts, lineage_id: str) -> Any:
    if lineage_id not in facts.plan.by_id:
        raise NotFound("the search has no such lineage")
    return facts.plan.by_id[lineage_id]


def _after(documents: list[dict[str, Any]], after: str | None) -> Iterable[dict[str, Any]]:
    if after is None:
        return documents
    places = [place for place, one in enumerate(documents) if one["id"] == after]
    if not places:
        raise BadCursor("the cursor is no position in this list")
    return documents[places[0] + 1 :]


def _matches(
    facts: Facts,
    status: str | None,
    label: str | None,
    created_after: datetime | None,
    created_before: datetime | None,
) -> bool:
    accepted = facts.plan.accepted
    if status is not None and facts.status() != status:
        return False
    if label is not None and not has_label(accepted.submission.labels, label):
        return False
    if created_after is not None and accepted.accepted_at <= created_after:
        return False
    return created_before is None or accepted.accepted_at < created_before


def has_label(labels: dict[str, str], label: str) -> bool:
    """Tell whether labels hold `name=value`."""
    name, _, value = label.partition("=")
    return labels.get(name) == value
