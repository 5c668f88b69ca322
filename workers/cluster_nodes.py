"""The machines of a cluster over time: since when each is there, which was lost, and whose levels it held."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workers.cluster_events import MAX_EVENTS, ClusterEvent
from workers.pool_report import EngineReport

HELD_S = 120.0
"""How long a machine is remembered to have held a search: its engines may be missed before it is."""
LOST_SHOWN_S = 600.0

SearchName = tuple[str, str]
"""Tenant and search id."""


@dataclass(frozen=True)
class Node:
    """One machine of the cluster.

    Attributes:
        id: Ray's name of it, which never comes back.
        name: What people call it.
        address: Where the others reach it.
        cpus: CPUs that it has for engines.
        gpus: GPUs that it has for engines.
    """

    id: str
    name: str
    address: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class SeenNode:
    """A machine, since when it has been seen, and when it was lost, if it was."""

    node: Node
    since: str
    lost_at: str | None = None
    lost_at_s: float = 0.0


@dataclass(frozen=True)
class LostNode:
    """A machine that has gone, and the searches whose levels were in training on it."""

    node: Node
    searches: tuple[SearchName, ...]


def living(known: Iterable[Mapping[str, Any]]) -> list[Node]:
    """Read the living machines out of what Ray tells of all it ever knew."""
    return [
        Node(
            str(one["NodeID"]),
            str(one["NodeManagerHostname"]),
            str(one["NodeManagerAddress"]),
            float(one["Resources"].get("CPU", 0.0)),
            float(one["Resources"].get("GPU", 0.0)),
        )
        for one in known
        if one["Alive"]
    ]


@dataclass
class NodeWatch:
    """Compares each look at the cluster with the one before.

    Attributes:
        events: Machines that joined or were lost, the newest last.
    """

    events: deque[ClusterEvent] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    _seen: dict[str, SeenNode] = field(default_factory=dict)
    _held_s: dict[str, dict[SearchName, float]] = field(default_factory=lambda: defaultdict(dict))
    _has_looked: bool = False

    @property
    def nodes(self) -> list[SeenNode]:
        """Living machines, and those that were lost lately."""
        return list(self._seen.values())

    def look(
        self, nodes: Sequence[Node], engines: Iterable[EngineReport], at: str, now_s: float | None = None
    ) -> list[LostNode]:
        """Take in who is there now; return the machines that were there before and are not any more.

        Args:
            nodes: The living machines.
            engines: The engines, which know what their machine is called.
            at: The time, RFC 3339.
            now_s: The time on a clock that never jumps.
        """
        now_s = time.monotonic() if now_s is None else now_s
        names = self._note_engines(engines, now_s)
        for node in nodes:
            before = self._seen.get(node.id)
            named = replace(node, name=names.get(node.id) or (before.node.name if before else node.name))
            self._seen[node.id] = SeenNode(named, before.since if before else at)
            if before is None and self._has_looked:
                self.events.append(ClusterEvent(at, "node_joined", named.name))
        self._has_looked = True
        alive = {node.id for node in nodes}
        lost = [self._lose(seen, at, now_s) for seen in self.nodes if seen.node.id not in alive and not seen.lost_at]
        self._forget(now_s)
        return lost

    def _note_engines(self, engines: Iterable[EngineReport], now_s: float) -> dict[str, str]:
        """Remember whose levels are where; return what the machines with engines are called."""
        names = {}
        for engine in engines:
            if engine.node_id:
                names[engine.node_id] = engine.node
                held = {name: now_s for level in engine.levels for name in level.names}
                self._held_s[engine.node_id].update(held)
        return names

    def _lose(self, seen: SeenNode, at: str, now_s: float) -> LostNode:
        self._seen[seen.node.id] = replace(seen, lost_at=at, lost_at_s=now_s)
        self.events.append(ClusterEvent(at, "node_lost", seen.node.name))
        held = self._held_s.pop(seen.node.id, {})
        return LostNode(seen.node, tuple(name for name, held_s in held.items() if now_s - held_s <= HELD_S))

    def _forget(self, now_s: float) -> None:
        for name, seen in list(self._seen.items()):
            if seen.lost_at and now_s - seen.lost_at_s > LOST_SHOWN_S:
                del self._seen[name]
        for name, held in list(self._held_s.items()):
            recent = {search: held_s for search, held_s in held.items() if now_s - held_s <= HELD_S}
            self._held_s[name] = recent
            if not recent:
                del self._held_s[name]
