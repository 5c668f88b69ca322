"""Analyses along straight lines between trained networks: instability to the data order, barriers between levels."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import torch

from lth_core.analyses.interpolation import (
    BN_POLICY,
    NUM_POINTS,
    STABLE_BELOW,
    Examples,
    Path,
    alphas,
    error_path,
)
from lth_core.data import TensorData, split
from lth_core.determinism import pin
from lth_core.expansion import LineageSpec, PlannedLineage
from lth_core.models import FlatNetwork
from lth_core.weights import Weights
from workers.analyses.findings import Findings, place, spread
from workers.analyses.of_weights import means_by_level
from workers.analyses.stored import NotStored, Stored

LINE = {
    "errors": f"test error of a W_1 + (1 - a) W_2 at {NUM_POINTS} evenly spaced a from 0 to 1, as `alphas` lists them",
    "losses": "mean test cross-entropy at the same points",
    "instability": "largest error on the line minus the mean of the errors at its ends",
    "stable": f"instability below {STABLE_BELOW}",
    "batch_norm": f"{BN_POLICY}: running statistics are recomputed at every point over the replicate's training "
    "examples in fixed batches of 500; none: the network has no running statistics",
}
_COPIES = (
    "W_1: the ticket (level 0: the dense network); W_2: the same start and mask, trained under another data order "
    "and augmentation (treatment `reordered`)"
)
INSTABILITY = {**LINE, "pairs": _COPIES}
BARRIER = {**LINE, "pairs": "W_1 and W_2: trained weights of a level and of the next one of the same chain"}
INSTABILITY_SOURCES = ("Frankle et al. 2020, arXiv:1912.05671, section 2",)
BARRIER_SOURCES = (*INSTABILITY_SOURCES, "Paul et al. 2023, arXiv:2210.03044")
NOT_REORDERED = (
    "instability compares a training with its copies under other data orders: the search has no treatment "
    "`reordered` (it needs spec.keep 'all')"
)


async def barrier_of_search(stored: Stored) -> Findings:
    """Measure the line between the trained weights of successive levels of every chain."""
    head = {"evaluated_on": "test", "alphas": list(alphas()), "pairs": []}
    found = Findings(BARRIER, BARRIER_SOURCES, head)
    line = _Line(stored)
    for own in stored.searched.chains:
        for level, following in pairwise(stored.searched.levels(own)):
            with found.attempt(**place(own, level), next_level=following):
                first, second = await stored.final(own, level), await stored.final(own, following)
                path = await line.measure(own.spec, first, second)
                density = stored.searched.density(own.setting_index, level)
                entry = {**place(own, level), "next_level": following, "density": density, **path.as_json()}
                found.results["pairs"].append(entry)
    found.results["means"] = means_by_level(found.results["pairs"], "barrier", lambda one: one["instability"])
    return found.checked()


async def instability_of_search(stored: Stored) -> Findings:
    """Measure the line from every dense network and ticket to its copies under other data orders."""
    head: dict[str, Any] = {"evaluated_on": "test", "alphas": list(alphas()), "pairs": []}
    found = Findings(INSTABILITY, INSTABILITY_SOURCES, head)
    line = _Line(stored)
    for own in stored.searched.chains:
        for copy in stored.reordered(own):
            for level in stored.searched.levels(copy):
                with found.attempt(**place(copy, level)):
                    found.results["pairs"].append(await _pair(stored, line, own, copy, level))
    if not any(stored.reordered(own) for own in stored.searched.chains):
        raise NotStored(NOT_REORDERED)
    found.results["means"] = means_by_level(found.results["pairs"], "instability", lambda one: one["instability"])
    return found.checked()


async def instability_of_ticket(stored: Stored, lineage: PlannedLineage, level: int) -> Findings:
    """Measure the lines from one ticket to its copies under other data orders."""
    source = stored.searched.source(lineage)
    copies = stored.reordered(source)
    if lineage is not source:
        copies = [own for own in copies if own is lineage]
    if not copies:
        raise NotStored(NOT_REORDERED)
    head: dict[str, Any] = {**place(lineage, level), "evaluated_on": "test", "alphas": list(alphas()), "pairs": []}
    found = Findings(INSTABILITY, INSTABILITY_SOURCES, head)
    line = _Line(stored)
    for copy in copies:
        with found.attempt(**place(copy, level)):
            found.results["pairs"].append(await _pair(stored, line, source, copy, level))
    found.results["instability"] = spread(one["instability"] for one in found.results["pairs"])
    return found.checked()


async def _pair(stored: Stored, line: _Line, own: PlannedLineage, copy: PlannedLineage, level: int) -> dict[str, Any]:
    first, second = await stored.final(own, level), await stored.final(copy, level)
    path = await line.measure(own.spec, first, second)
    return {**place(copy, level), "density": stored.searched.density(own.setting_index, level), **path.as_json()}


class _Line:
    """Measures lines on one search's data, which is read once."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._data: TensorData | None = None
        self._examples: dict[int, Examples] = {}

    async def measure(self, lineage: LineageSpec, first: Weights, second: Weights) -> Path:
        """Return the line between two networks of a lineage's replicate."""
        if self._data is None:
            self._data = await self._stored.data()
        return await asyncio.to_thread(self._measured, self._data, lineage, first, second)

    def _measured(self, data: TensorData, lineage: LineageSpec, first: Weights, second: Weights) -> Path:
        pin(lineage.threads)
        if lineage.replicate not in self._examples:
            chosen = torch.from_numpy(split(data.info.num_train, lineage.replicate).fit)
            fitted = data.train_images.index_select(0, chosen)
            self._examples = {lineage.replicate: Examples(data.test_images, data.test_labels, fitted)}
        net = FlatNetwork(lineage.model, lineage.in_shape, lineage.num_classes, torch.device("cpu"))
        return error_path(net, first, second, self._examples[lineage.replicate])
