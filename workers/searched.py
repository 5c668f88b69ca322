"""A search with every manifest it stands on, read from the record: what analyses and reports are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lth_core.expansion import PlannedLineage
from lth_core.labels import Label, label_of
from lth_core.pruning import density_ladder
from lth_core.results import search_results
from lth_core.spec import SearchSpec
from service.store.errors import NotFound, RedisUnavailable
from service.store.facts import Facts
from service.store.plans import Plan
from service.store.record import Record

MAX_PARALLEL_READS = 16
Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Searched:
    """One search at one moment.

    Attributes:
        facts: What is known of it: specification, log, summaries, results.
        manifests: Committed manifests of all its keys, by key and level.
    """

    facts: Facts
    manifests: Mapping[str, Mapping[int, Manifest]]

    @property
    def plan(self) -> Plan:
        """The accepted search."""
        return self.facts.plan

    @property
    def spec(self) -> SearchSpec:
        """Its question."""
        return self.plan.accepted.submission.spec

    @property
    def chains(self) -> tuple[PlannedLineage, ...]:
        """The lineages that find masks, one per setting and replicate."""
        return tuple(own for own in self.plan.lineages if own.source_key is None)

    @cached_property
    def settings(self) -> dict[int, tuple[PlannedLineage, ...]]:
        """All lineages by the number of their setting."""
        found: dict[int, tuple[PlannedLineage, ...]] = {}
        for own in self.plan.lineages:
            found[own.setting_index] = (*found.get(own.setting_index, ()), own)
        return found

    @property
    def is_complete(self) -> bool:
        """Whether the search has ended, so that nothing below can change."""
        return self.facts.log.terminal is not None

    @property
    def num_committed(self) -> int:
        """Levels that its lineages have committed."""
        return sum(len(self.levels(own)) for own in self.plan.lineages)

    @property
    def num_planned(self) -> int:
        """Levels that its lineages plan."""
        return sum(own.num_levels for own in self.plan.lineages)

    def manifest(self, lineage: PlannedLineage, level: int) -> Manifest | None:
        """Return a committed level's manifest, None if it is not committed."""
        return self.manifests.get(lineage.key_of_level(level), {}).get(level)

    def levels(self, lineage: PlannedLineage) -> list[int]:
        """Return a lineage's committed levels from its first one on, without a gap."""
        found: list[int] = []
        for level in range(lineage.first_level, lineage.first_level + lineage.num_levels):
            if self.manifest(lineage, level) is None:
                break
            found.append(level)
        return found

    def density(self, setting: int, level: int) -> float | None:
        """Return the density of a level of a setting, None before any replicate has committed it."""
        for own in self.settings[setting]:
            manifest = self.manifest(own, level) if own.source_key is None else None
            if manifest is not None:
                return float(manifest["core"]["density"])
        return None

    def label(self, setting: int) -> Label:
        """Return what the networks of a setting's levels may be called."""
        return label_of(self.settings[setting][0].spec)

    def source(self, lineage: PlannedLineage) -> PlannedLineage:
        """Return the chain that finds a lineage's masks: itself, unless it is a control."""
        return self.plan.by_key[lineage.source_key] if lineage.source_key else lineage

    @cached_property
    def ladders(self) -> dict[int, tuple[int, ...]]:
        """Kept weights of each level by setting, as the specification fixes them; none for a transferred ticket."""
        if self.spec.method == "transfer":
            return {}
        found = {}
        for index, own in self.settings.items():
            spec = own[0].spec
            found[index] = density_ladder(spec.tensors(), spec.prune, spec.prune.levels + 1, spec.method)
        return found

    @cached_property
    def judged(self) -> Mapping[str, Any]:
        """What the search said at its end or, before it, what its levels say so far."""
        stored = self.facts.results
        if stored is not None and stored.get("object") == "results":
            return stored
        cores = {key: {n: one["core"] for n, one in levels.items()} for key, levels in self.manifests.items()}
        return search_results(self.spec, self.plan.lineages, cores)


async def read_search(record: Record, tenant: str, search_id: str) -> Searched:
    """Read a search and all its manifests, however long the store takes.

    Raises:
        NotFound: If the tenant has no such search.
        StoreUnavailable: If the store does not answer.
    """
    plan = await record.plan(tenant, search_id)
    facts = await _facts(record, plan)
    reads = asyncio.Semaphore(MAX_PARALLEL_READS)

    async def manifests(key: str) -> dict[int, dict[str, Any]]:
        async with reads:
            return await record.manifests(tenant, key)

    found = await asyncio.gather(*map(manifests, plan.keys))
    return Searched(facts, dict(zip(plan.keys, found, strict=True)))


async def _facts(record: Record, plan: Plan) -> Facts:
    """Return what is known of a search: from the index, which knows the driver's picture too, else from the store."""
    try:
        facts = await record.indexed.facts(plan)
    except RedisUnavailable:
        facts = None
    if facts is None:
        facts = await record.stored.facts(plan)
    if facts is None:
        raise NotFound("there is no such search")
    return facts
