"""The cluster as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.cli.tables import age, new_table

NUM_EVENTS = 8
ENGINE_STYLES = {"ready": "green", "starting": "blue", "leaving": "yellow"}
EVENT_STYLES = {"engine_lost": "red", "node_lost": "bold red", "engine_ready": "green", "node_joined": "green"}


def status_view(cluster: Mapping[str, Any]) -> RenderableType:
    """Everything that `lth cluster status` shows."""
    parts: list[RenderableType] = [_headline(cluster)]
    if cluster["engines"]:
        parts.append(_engines_table(cluster["engines"]))
    if cluster["nodes"]:
        parts.append(_nodes_table(cluster["nodes"]))
    if cluster["searches"]:
        parts.append(_searches_table(cluster["searches"]))
    if cluster["events"]:
        parts.append(_events_table(cluster["events"][-NUM_EVENTS:]))
    return Group(*parts)


def scale_table(scale: Mapping[str, Any]) -> Table:
    """The bounds by device class."""
    table = new_table("engines", "min", "max", right=("min", "max"))
    for device in ("cpu", "cuda"):
        own = scale[device]
        table.add_row(device, str(own["min"]), "none" if own["max"] is None else str(own["max"]))
    return table


def _headline(cluster: Mapping[str, Any]) -> Text:
    if not cluster["reachable"]:
        seen = f"last seen {age(cluster['at'])} ago" if cluster["at"] else "not seen within a day"
        return Text(f"the cluster is not reachable; {seen}", style="yellow")
    slots, waiting = cluster["slots"], cluster["waiting"]
    text = Text(f"{slots['taken']} of {slots['total']} slots taken, {slots['own']} by you", style="bold")
    return text.append(f"; waiting: {waiting['own']} of your levels, {waiting['others']} of others", style="dim")


def _engines_table(engines: Iterable[Mapping[str, Any]]) -> Table:
    table = new_table(
        "engine", "device", "threads", "status", "node", "slots", "idle", right=("threads", "slots", "idle")
    )
    for engine in engines:
        status = Text(str(engine["status"]), style=ENGINE_STYLES.get(str(engine["status"]), ""))
        if engine["waits_for_node"]:
            status.append(", waits for a node", style="yellow")
        slots = f"{engine['slots']['taken']}/{engine['slots']['total']}"
        place = (str(engine["device"]), str(engine["threads"]), status, str(engine["node"] or ""))
        table.add_row(str(engine["name"]), *place, slots, age(engine["idle_since"]))
    return table


def _nodes_table(nodes: Iterable[Mapping[str, Any]]) -> Table:
    table = new_table("node", "address", "cpus", "gpus", "engines", "since", right=("cpus", "gpus", "engines", "since"))
    for node in nodes:
        used = (f"{node[kind]['used']:g}/{node[kind]['total']:g}" for kind in ("cpus", "gpus"))
        name = Text(str(node["name"]), style="" if node["alive"] else "red")
        name.append("" if node["alive"] else " lost")
        table.add_row(
            name, str(node["address"]), *used, str(node["num_engines"]), age(node["lost_at"] or node["since"])
        )
    return table


def _searches_table(searches: Iterable[Mapping[str, Any]]) -> Table:
    numbers = ("queue", "running", "waiting")
    table = new_table("search", *numbers, "end expected", right=numbers)
    for search in searches:
        position = search["queue_position"]
        levels = (str(search[name]) for name in ("levels_running", "levels_waiting"))
        table.add_row(str(search["id"]), "" if position is None else str(position), *levels, str(search["eta"] or ""))
    return table


def _events_table(events: Iterable[Mapping[str, Any]]) -> Table:
    table = new_table("at", "event", "engine", "node", "")
    for event in events:
        kind = Text(str(event["kind"]).replace("_", " "), style=EVENT_STYLES.get(str(event["kind"]), "dim"))
        words = (str(event[name] or "") for name in ("engine", "node", "reason"))
        table.add_row(str(event["at"])[11:19], kind, *words)
    return table
