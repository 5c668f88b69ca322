"""What a search has used: time of devices, read off the manifests of the levels that it computed itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from service.store import clock


def level_seconds(manifest: Mapping[str, Any]) -> float:
    """Seconds between the start and the commit of a level."""
    started, committed = (clock.from_text(manifest[name]) for name in ("started_at", "committed_at"))
    return max(0.0, (committed - started).total_seconds())


def usage(manifests: Iterable[Mapping[str, Any]], search: str) -> dict[str, float]:
    """Seconds of GPUs, and of CPU threads, of the levels that this search computed."""
    total = {"gpu_seconds": 0.0, "cpu_seconds": 0.0}
    for manifest in manifests:
        if manifest["search"] != search:
            continue
        lineage = manifest["core"]["lineage"]
        seconds = level_seconds(manifest)
        if lineage.get("device_class") == "cuda":
            total["gpu_seconds"] += seconds
        else:
            total["cpu_seconds"] += seconds * lineage.get("threads", 1)
    return {name: round(value, 3) for name, value in total.items()}
