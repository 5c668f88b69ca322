"""The end of a search: what its status is, its results, and the final weights of its best ticket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

from lth_core.expansion import PlannedLineage
from lth_core.manifest import WEIGHTS_MEDIA_TYPE
from lth_core.results import search_results
from lth_core.spec import SearchSpec
from lth_core.weights import content_digest, from_safetensors
from service.store import keys
from service.store.errors import ObjectNotFound
from service.store.objects import ObjectStore
from workers.chains import Manifest, Manifests
from workers.usage import usage

Status = Literal["succeeded", "partial", "failed", "cancelled"]


def status_of(
    ends: Iterable[tuple[str, str | None]], max_failed: int, cut_short: str | None
) -> tuple[Status, str | None]:
    """Status and reason of a search whose lineages have all ended.

    Args:
        ends: State and reason of every lineage.
        max_failed: How many may fail; those that only lost their mask source do not count.
        cut_short: `deadline_exceeded` or `budget_exhausted`, if that ended it.
    """
    ends = list(ends)
    states = Counter(state for state, _ in ends)
    num_failed = sum(state == "failed" and reason != "upstream" for state, reason in ends)
    num_done = states["succeeded"] + sum(state == "stopped" and reason != cut_short for state, reason in ends)
    if cut_short is not None:
        return ("partial" if num_done else "failed"), cut_short
    if not num_failed:
        return "succeeded", None
    if num_done and num_failed <= max_failed:
        return "partial", f"{num_failed} of {len(ends)} lineages failed"
    return "failed", f"{num_failed} of {len(ends)} lineages failed, {max_failed} may"


def results(spec: SearchSpec, planned: tuple[PlannedLineage, ...], manifests: Manifests, search: str) -> dict[str, Any]:
    """Results of a search from what is committed; the best ticket's final weights are not looked for yet."""
    cores = {key: {level: one["core"] for level, one in levels.items()} for key, levels in manifests.items()}
    every = (one for levels in manifests.values() for one in levels.values())
    return {**search_results(spec, planned, cores), "usage": usage(every, search)}


async def keep_final_weights(objects: ObjectStore, tenant: str, manifest: Manifest) -> dict[str, Any] | None:
    """Return the reference of a level's final weights, promoted from `scratch/` if they were not kept.

    Returns:
        The reference, or None if they are gone, or are not those of the manifest.
    """
    stored: dict[str, Any] | None = manifest["stored"].get("final")
    if stored is not None:
        return stored
    core = manifest["core"]
    try:
        data = await objects.get(keys.scratch_final(tenant, core["key"], core["level"]))
    except ObjectNotFound:
        return None
    if content_digest(from_safetensors(data)) != core["digests"]["final"]:
        return None
    ref = await objects.put_blob(tenant, data)
    return {"sha256": ref.sha256, "size_bytes": ref.size_bytes, "media_type": WEIGHTS_MEDIA_TYPE}
