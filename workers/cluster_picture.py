"""The picture of a cluster as it is shown: a pure function of machines, engines, waiting levels and bounds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from service.store.scale import DEVICE_CLASSES, Scale
from workers.cluster_events import latest
from workers.cluster_nodes import Node, NodeWatch, SearchName, SeenNode
from workers.engine_slots import EngineClass, Limits
from workers.pool_report import EngineReport, PoolReport


@dataclass(frozen=True)
class Rules:
    """What bounds the engines, apart from the machines there are."""

    limits: Limits
    max_running: int
    scale: Scale

    def document(self) -> dict[str, Any]:
        """The limits as everybody sees them; null is no limit."""
        return {
            "engines": {device: asdict(self.scale.of(device)) for device in DEVICE_CLASSES},
            "slots_per_engine": {device: self.limits.num_slots[device] for device in DEVICE_CLASSES},
            "cpus": self.limits.cpus or None,
            "gpus": self.limits.gpus or None,
            "running_lineages": self.max_running,
            "engine_idle_s": self.limits.idle_s,
        }


def paint(watch: NodeWatch, report: PoolReport, rules: Rules) -> dict[str, Any]:
    """Paint the picture."""
    homeless = {engine.name for engine in without_node(report.engines, [seen.node for seen in _alive(watch)])}
    return {
        "nodes": [_node(seen, report.engines) for seen in watch.nodes],
        "engines": [_engine(engine, waits=engine.name in homeless) for engine in report.engines],
        "waiting": dict(Counter(level.tenant for level in report.waiting)),
        "searches": _levels_by_search(report),
        "limits": rules.document(),
        "events": latest(watch.events, report.events),
    }


def without_node(engines: Sequence[EngineReport], nodes: Sequence[Node]) -> list[EngineReport]:
    """Return the starting engines for which no living machine has room, those asked for first being placed first."""
    free = {node.id: [node.cpus, node.gpus] for node in nodes}
    for engine in engines:
        if engine.node_id in free:
            free[engine.node_id][0] -= engine.cpus
            free[engine.node_id][1] -= engine.gpus
    found = []
    for engine in engines:
        if engine.status != "starting":
            continue
        place = next((own for own in free.values() if own[0] >= engine.cpus and own[1] >= engine.gpus), None)
        if place is None:
            found.append(engine)
        else:
            place[0] -= engine.cpus
            place[1] -= engine.gpus
    return found


def waiting_searches(report: PoolReport, engine_class: EngineClass) -> list[SearchName]:
    """Return the searches with a level that waits for an engine of a class."""
    return sorted({name for level in report.waiting if level.engine_class == engine_class for name in level.names})


def _alive(watch: NodeWatch) -> list[SeenNode]:
    return [seen for seen in watch.nodes if seen.lost_at is None]


def _node(seen: SeenNode, engines: Iterable[EngineReport]) -> dict[str, Any]:
    own = [engine for engine in engines if engine.node_id == seen.node.id and not seen.lost_at]
    node = seen.node
    return {
        "id": node.id,
        "name": node.name,
        "address": node.address,
        "alive": seen.lost_at is None,
        "since": seen.since,
        "lost_at": seen.lost_at,
        "cpus": {"total": node.cpus, "used": round(sum(engine.cpus for engine in own), 2)},
        "gpus": {"total": node.gpus, "used": round(sum(engine.gpus for engine in own), 2)},
        "num_engines": len(own),
    }


def _engine(engine: EngineReport, *, waits: bool) -> dict[str, Any]:
    device, threads = engine.engine_class
    return {
        "name": engine.name,
        "device": device,
        "threads": threads,
        "status": engine.status,
        "waits_for_node": waits,
        "node": engine.node or None,
        "slots": engine.num_slots,
        "tenants": dict(Counter(level.tenant for level in engine.levels)),
        "requested_at": engine.requested_at,
        "ready_at": engine.ready_at,
        "idle_since": engine.idle_since,
    }


def _levels_by_search(report: PoolReport) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(lambda: {"running": 0, "waiting": 0})
    running = [level for engine in report.engines for level in engine.levels]
    for state, levels in (("running", running), ("waiting", report.waiting)):
        for level in levels:
            for tenant, search in level.names:
                found[f"{search}/{tenant}"][state] += 1
    return dict(found)
