"""The picture of the cluster: the engine host shows it every second, and everybody sees it as a tenant may."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lth_core.canonical import canonical_json
from service.store import clock
from service.store.core import Core
from service.store.documents import Document
from service.store.sources import Source

KEPT_MS = 86_400_000
"""How long the last picture is kept, so that it is known when the cluster was last seen."""
FRESH_S = 10.0
"""An older picture says nothing about now any more."""

Picture = Mapping[str, Any]


@dataclass(frozen=True)
class LastSeen:
    """The last picture of the cluster, and how old it is.

    Attributes:
        picture: As it was shown; empty if none was within a day.
        age_s: Seconds since then, by the clock of Redis alone.
    """

    picture: Picture
    age_s: float = float("inf")

    @property
    def is_fresh(self) -> bool:
        """Whether it tells of now."""
        return self.age_s <= FRESH_S

    def head(self) -> dict[str, Any]:
        """Whether the cluster is reachable, and when it was last."""
        at = clock.to_text(clock.now() - timedelta(seconds=self.age_s)) if self.picture else None
        return {"reachable": self.is_fresh, "at": at}


@dataclass(frozen=True)
class SearchLine:
    """One live search of a tenant, as far as the index knows it.

    Attributes:
        id: The search.
        queue_position: Its place among the searches without a driver, from 0; None if it has one.
        eta: When its driver expects the end, None while no level has been measured.
    """

    id: str
    queue_position: int | None
    eta: str | None


class ClusterPictures(Core):
    """The part of the record that shows the cluster; all of it passes."""

    async def show_cluster(self, picture: Picture, epoch: int) -> None:
        """Show the cluster as it is now.

        Args:
            picture: `{"nodes": [...], "engines": [...], "waiting": {tenant: levels}, "searches": {"search/tenant":
                {"running", "waiting"}}, "limits": {...}, "events": [...]}`.
            epoch: The leader's epoch.

        Raises:
            StaleEpoch: If a later leader has been seen.
            RedisUnavailable: If nobody could be shown anything.
        """
        await self.index.call("show_cluster", epoch, canonical_json(picture), KEPT_MS)

    async def cluster(self, tenant: str) -> Document:
        """Return the cluster as a tenant may see it: own searches by name, others as numbers."""

        async def operation(source: Source) -> dict[str, Any]:
            if source is self.stored:
                return cluster_document(LastSeen({}), tenant, [])
            return cluster_document(await self._last_seen(), tenant, await self._live_searches(tenant))

        return Document(*await self.read(operation))

    async def cluster_nodes(self) -> Document:
        """Return the machines of the cluster."""

        async def operation(source: Source) -> dict[str, Any]:
            return nodes_document(LastSeen({}) if source is self.stored else await self._last_seen())

        return Document(*await self.read(operation))

    async def _last_seen(self) -> LastSeen:
        raw, left_ms = await self.index.read(lambda pipe, own: (pipe.get(f"{own}cluster"), pipe.pttl(f"{own}cluster")))
        return LastSeen(json.loads(raw), (KEPT_MS - left_ms) / 1000) if raw else LastSeen({})

    async def _live_searches(self, tenant: str) -> list[SearchLine]:
        """Read the tenant's searches that have not ended, oldest first."""
        live = await self.index.read_one(lambda pipe, own: pipe.zrange(f"{own}live", 0, -1))
        names = sorted(name for name, owner in (member.decode().split("/") for member in live) if owner == tenant)
        if not names:
            return []

        def queue(pipe: Any, own: str) -> None:
            for name in names:
                pipe.zrank(f"{own}queue", f"{name}/{tenant}")
                pipe.get(f"{own}overlay:{tenant}:{name}")

        found = await self.index.read(queue)
        return [
            SearchLine(name, position, json.loads(overlay).get("eta") if overlay else None)
            for name, position, overlay in zip(names, found[::2], found[1::2], strict=True)
        ]


def cluster_document(seen: LastSeen, tenant: str, searches: list[SearchLine]) -> dict[str, Any]:
    """The cluster as a tenant may see it.

    What has not been seen lately is not there: no engine, no slot, nothing that waits. Events stay.
    """
    now: Picture = seen.picture if seen.is_fresh else {}
    engines = [_engine(engine, tenant) for engine in now.get("engines", [])]
    ready = [engine for engine in engines if engine["status"] != "starting"]
    total, taken = (sum(engine["slots"][name] for engine in ready) for name in ("total", "taken"))
    free = sum(engine["slots"]["free"] for engine in ready)
    waiting: Mapping[str, int] = now.get("waiting", {})
    own = waiting.get(tenant, 0)
    return {
        "object": "cluster",
        **seen.head(),
        "slots": {"total": total, "taken": taken, "free": free, "own": sum(one["slots"]["own"] for one in ready)},
        "waiting": {"own": own, "others": sum(waiting.values()) - own},
        "engines": engines,
        "searches": [_search(line, tenant, now.get("searches", {})) for line in searches],
        "limits": seen.picture.get("limits"),
        "events": list(seen.picture.get("events", [])),
    }


def nodes_document(seen: LastSeen) -> dict[str, Any]:
    """The machines of the cluster; those of a cluster that has not been seen lately are unknown."""
    nodes = seen.picture.get("nodes", []) if seen.is_fresh else []
    return {"object": "nodes", **seen.head(), "data": list(nodes)}


def _engine(engine: Mapping[str, Any], tenant: str) -> dict[str, Any]:
    """An engine without the names of those whose levels it holds; one that leaves has no free slot."""
    shown = {name: value for name, value in engine.items() if name not in ("tenants", "slots")}
    taken = sum(engine["tenants"].values())
    free = engine["slots"] - taken if engine["status"] == "ready" else 0
    slots = {"total": engine["slots"], "taken": taken, "free": free, "own": engine["tenants"].get(tenant, 0)}
    return {**shown, "slots": slots}


def _search(line: SearchLine, tenant: str, levels: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    own = levels.get(f"{line.id}/{tenant}", {})
    return {
        "id": line.id,
        "queue_position": line.queue_position,
        "levels_running": own.get("running", 0),
        "levels_waiting": own.get("waiting", 0),
        "eta": line.eta,
    }
