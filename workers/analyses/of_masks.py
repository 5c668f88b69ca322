"""Analyses that need masks alone: overlap between replicates and levels, and densities of layers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

from lth_core.analyses.layer_densities import layer_densities
from lth_core.analyses.overlap import MaskOverlap, mask_overlap
from lth_core.expansion import PlannedLineage
from lth_core.masks import Mask
from workers.analyses.findings import Findings, place, spread
from workers.analyses.stored import NotStored, Stored

MEASURES = ("containment", "jaccard", "hamming")
OVERLAP = {
    "containment": "|A & B| / |A|: share of the first mask's weights that the second keeps too",
    "jaccard": "|A & B| / |A | B|: weights kept by both among those kept by either",
    "hamming": "share of all weights that one mask keeps and the other does not",
    "chance": "the measure of two independent masks of the same two densities: they share |A| |B| / N weights",
    "chance_within_layers": "the same for masks that are independent inside each layer but keep its counts",
}
OVERLAP_SOURCES = ("Jaccard 1912",)
DENSITIES = {
    "density": "kept weights of the layer divided by its weights",
    "relative": "density of the layer divided by the density of the network",
    "share": "share of the network's survivors that lie in the layer",
}
PAPER = "Frankle & Carbin 2019, arXiv:1803.03635"


async def overlap_of_search(stored: Stored) -> Findings:
    """Compare the masks of all pairs of replicates at each level, and of successive levels of each chain."""
    found = Findings(OVERLAP, OVERLAP_SOURCES, {"across_replicates": [], "successive_levels": []})
    for setting, lineages in stored.searched.settings.items():
        chains = [own for own in lineages if own.source_key is None]
        for level in range(1, chains[0].spec.prune.levels + 1):
            with found.attempt(setting=setting, level=level, what="across replicates"):
                found.results["across_replicates"].append(await _across(stored, chains, level))
        for own in chains:
            await _successive(stored, own, found)
    return found.checked()


async def overlap_of_ticket(stored: Stored, lineage: PlannedLineage, level: int) -> Findings:
    """Compare a ticket's mask with those of the same level and treatment in the other replicates."""
    found = Findings(OVERLAP, OVERLAP_SOURCES, {**place(lineage, level), "siblings": []})
    own = await stored.mask(lineage, level)
    for other in stored.searched.settings[lineage.setting_index]:
        if other is lineage or _kind(other) != _kind(lineage):
            continue
        with found.attempt(replicate=other.spec.replicate, level=level):
            compared = await asyncio.to_thread(mask_overlap, own, await stored.mask(other, level))
            found.results["siblings"].append({"replicate": other.spec.replicate, **compared.as_json()})
    if not found.results["siblings"] and not found.skipped:
        raise NotStored("the search has one replicate: a ticket is compared with those of other replicates")
    return found.checked()


async def densities_of_search(stored: Stored) -> Findings:
    """Return every layer's density at every level, for each replicate and as mean, minimum and maximum."""
    found = Findings(DENSITIES, (f"{PAPER}, section 4 and appendix I",), {"levels": []})
    for setting, lineages in stored.searched.settings.items():
        chains = [own for own in lineages if own.source_key is None]
        for level in range(chains[0].spec.prune.levels + 1):
            entries = [(own, m["core"]) for own in chains if (m := stored.searched.manifest(own, level)) is not None]
            if entries:
                cores = [core for _, core in entries]
                found.num_found += 1
                found.results["levels"].append(
                    {
                        "setting": setting,
                        "level": level,
                        "density": cores[0]["density"],
                        "layers": _layers(cores),
                        "replicates": [{"replicate": own.spec.replicate, "layers": _of(core)} for own, core in entries],
                    }
                )
    return found.checked()


async def densities_of_ticket(stored: Stored, lineage: PlannedLineage, level: int) -> Findings:
    """Return the density of every layer of one ticket."""
    found = Findings(DENSITIES, (f"{PAPER}, section 4 and appendix I",), place(lineage, level))
    manifest = stored.searched.manifest(lineage, level)
    if manifest is not None:
        found.num_found = 1
        found.results.update(density=manifest["core"]["density"], layers=_of(manifest["core"]))
    return found.checked()


async def _across(stored: Stored, chains: Sequence[PlannedLineage], level: int) -> dict[str, Any]:
    committed = [own for own in chains if stored.searched.manifest(own, level) is not None]
    if len(committed) < 2:
        raise NotStored(f"level {level} needs two replicates to compare, {len(committed)} committed")
    masks = [(own.spec.replicate, await stored.mask(own, level)) for own in committed]
    density = stored.searched.density(chains[0].setting_index, level)
    compared = await asyncio.to_thread(_all_pairs, masks)
    return {"setting": chains[0].setting_index, "level": level, "density": density, **compared}


def _all_pairs(masks: Sequence[tuple[int, Mask]]) -> dict[str, Any]:
    pairs: list[tuple[list[int], MaskOverlap]] = [
        ([one, other], mask_overlap(a, b)) for (one, a), (other, b) in combinations(masks, 2)
    ]
    documents = [overlap.as_json() for _, overlap in pairs]
    names = list(pairs[0][1].layers)
    return {
        "mean": {
            "total": _mean([one["total"] for one in documents]),
            "layers": [{"name": n, **_mean([one["layers"][i] for one in documents])} for i, n in enumerate(names)],
        },
        "pairs": [{"replicates": who, **one} for (who, _), one in zip(pairs, documents, strict=True)],
    }


def _mean(overlaps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    chances = [name for name in ("chance", "chance_within_layers") if name in overlaps[0]]
    own: dict[str, Any] = {name: spread(one[name] for one in overlaps) for name in MEASURES}
    for chance in chances:
        means = {name: spread(one[chance][name] for one in overlaps) for name in MEASURES}
        own[chance] = {name: None if mean is None else mean["mean"] for name, mean in means.items()}
    return own


async def _successive(stored: Stored, lineage: PlannedLineage, found: Findings) -> None:
    levels = [level for level in stored.searched.levels(lineage) if level]
    for level, following in pairwise(levels):
        with found.attempt(**place(lineage, level), what="successive levels"):
            a, b = await stored.mask(lineage, level), await stored.mask(lineage, following)
            compared = await asyncio.to_thread(mask_overlap, a, b)
            head = {**place(lineage, level), "next_level": following}
            found.results["successive_levels"].append({**head, **compared.as_json()})


def _layers(cores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    per_core = [layer_densities(core["layers"]) for core in cores]
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "total": layer.total,
            "kept": spread(own[i].kept for own in per_core),
            "density": spread(own[i].density for own in per_core),
            "relative": spread(own[i].relative for own in per_core),
            "share": spread(own[i].share for own in per_core),
        }
        for i, layer in enumerate(per_core[0])
    ]


def _of(core: dict[str, Any]) -> list[dict[str, Any]]:
    return [layer.as_json() for layer in layer_densities(core["layers"])]


def _kind(lineage: PlannedLineage) -> tuple[str, int]:
    return lineage.spec.treatment, lineage.spec.repeat
