"""Analyses of signs and of movement: what training made of the weights that survive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lth_core.analyses.movement import Groups, movements, total_movement
from lth_core.analyses.signs import sign_counts, total_signs
from lth_core.expansion import PlannedLineage
from lth_core.masks import Mask
from lth_core.weights import Weights
from workers.analyses.findings import Findings, place, spread
from workers.analyses.stored import Stored

SIGNS = {
    "agreement": "share of survivors whose trained weight has the sign of their weight before training; the weight "
    "before training is W_k of the dense network for a ticket, its own start for a control",
    "flips": "the same between the trained weights of two successive levels, at the survivors of the later one",
    "flipped": "survivors whose sign differs; zero has a sign of its own",
}
SIGN_SOURCES = ("Zhou et al. 2019, arXiv:1905.01067, section 4.1",)
MOVEMENT = {
    "distance": "mean |w_final - w_start| over a group of survivors of the level",
    "relative": "sum |w_final - w_start| / sum |w_start| over the group",
    "all": "every survivor of the level",
    "stays": "survivors that the next level keeps: the weights of the next ticket",
    "pruned": "survivors that the next level prunes",
    "stays_to_pruned": "distance of `stays` divided by that of `pruned`: above 1, the next ticket's weights move more",
}
MOVEMENT_SOURCES = ("Frankle & Carbin 2019, arXiv:1803.03635, appendix F.2",)


async def signs_of_search(stored: Stored) -> Findings:
    """Compare signs before and after training, and between successive levels, of every chain."""
    found = Findings(SIGNS, SIGN_SOURCES, {"levels": []})
    for own, level in _chain_levels(stored):
        with found.attempt(**place(own, level)):
            found.results["levels"].append(await _signs(stored, own, level))
    found.results["means"] = means_by_level(
        found.results["levels"], "agreement", lambda one: one["initial_to_final"]["total"]["agreement"]
    )
    return found.checked()


async def signs_of_ticket(stored: Stored, lineage: PlannedLineage, level: int) -> Findings:
    """Compare signs before and after the training of one ticket."""
    return Findings(SIGNS, SIGN_SOURCES, await _signs(stored, lineage, level), num_found=1)


async def movement_of_search(stored: Stored) -> Findings:
    """Measure how far weights move at every level of every chain, those of the next ticket against the others."""
    found = Findings(MOVEMENT, MOVEMENT_SOURCES, {"levels": []})
    for own, level in _chain_levels(stored):
        with found.attempt(**place(own, level)):
            found.results["levels"].append(await _movement(stored, own, level))
    rows = found.results["levels"]
    found.results["means"] = means_by_level(rows, "stays_to_pruned", lambda one: _stays_to_pruned(one["total"]))
    return found.checked()


async def movement_of_ticket(stored: Stored, lineage: PlannedLineage, level: int) -> Findings:
    """Measure how far the weights of one ticket move."""
    return Findings(MOVEMENT, MOVEMENT_SOURCES, await _movement(stored, lineage, level), num_found=1)


async def _signs(stored: Stored, lineage: PlannedLineage, level: int) -> dict[str, Any]:
    final, mask = await stored.final(lineage, level), await stored.mask(lineage, level)
    initial = await stored.initial(lineage, level)
    document = {**place(lineage, level), "density": stored.searched.density(lineage.setting_index, level)}
    document["initial_to_final"] = await asyncio.to_thread(_compared, initial, final, mask)
    if level > lineage.first_level:
        before = await stored.final(lineage, level - 1)
        flips = await asyncio.to_thread(_compared, before, final, mask)
        document["flips"] = {"from_level": level - 1, **flips}
    return document


def _compared(before: Weights, after: Weights, mask: Mask) -> dict[str, Any]:
    layers = sign_counts(before, after, mask)
    named = [{"name": name, **counts.as_json()} for name, counts in layers.items()]
    return {"total": total_signs(layers).as_json(), "layers": named}


async def _movement(stored: Stored, lineage: PlannedLineage, level: int) -> dict[str, Any]:
    final, mask = await stored.final(lineage, level), await stored.mask(lineage, level)
    start, following = await stored.start(lineage, level), await stored.mask_after(lineage, level)
    layers = await asyncio.to_thread(movements, start, final, mask, following)
    return {
        **place(lineage, level),
        "density": stored.searched.density(lineage.setting_index, level),
        "total": _groups(total_movement(layers.values())),
        "layers": [{"name": name, **_groups(groups)} for name, groups in layers.items()],
    }


def _groups(groups: Groups) -> dict[str, Any]:
    return {name: group.as_json() for name, group in groups.items()}


def means_by_level(
    rows: Sequence[dict[str, Any]], name: str, measure: Callable[[dict[str, Any]], float | None]
) -> list[dict[str, Any]]:
    """Return mean, minimum and maximum over replicates of one measure, per setting and level."""
    groups: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["setting"], row["level"]), []).append(row)
    return [
        {"setting": setting, "level": level, "density": own[0]["density"], name: spread(map(measure, own))}
        for (setting, level), own in sorted(groups.items())
    ]


def _stays_to_pruned(total: dict[str, Any]) -> float | None:
    stays, pruned = (total.get(group, {}).get("distance") for group in ("stays", "pruned"))
    return stays / pruned if stays is not None and pruned else None


def _chain_levels(stored: Stored) -> Iterator[tuple[PlannedLineage, int]]:
    for own in stored.searched.chains:
        for level in stored.searched.levels(own):
            yield own, level
