"""What figures need beyond the report's own numbers: curves of trainings, initial weights, leads of replicates."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lth_core.analyses.distributions import histogram, shared_edges
from lth_core.expansion import PlannedLineage
from lth_core.judged_levels import at_fixed_steps
from service.store.record import Record
from workers.analyses.stored import Stored
from workers.reporting import words
from workers.reporting.figure_training import LayerHistogram, TrainingCurve
from workers.searched import Manifest, Searched

MAX_SPARSE_CURVES = 5
MAX_LAYERS = 6
Row = Mapping[str, Any]


def leads(searched: Searched, setting: int, rival: str) -> list[dict[str, Any]]:
    """Return the lead of every replicate and level over a rival, draws of the rival averaged first.

    `accuracy` is a difference of shares, at the end where the learning rate falls on the way; `speed` the rival's
    early-stop step divided by the own one, None where one of them was still improving at its last evaluation.
    """
    lineages = searched.settings[setting]
    name = "end_test_accuracy" if at_fixed_steps(lineages[0].spec) else "test_accuracy"
    found = []
    for own in lineages:
        if own.source_key is not None:
            continue
        for level in searched.levels(own)[1:]:
            ticket = _metrics(searched.manifest(own, level))
            others = _metrics_of_rival(searched, own, level, rival)
            if not others:
                continue
            mean = math.fsum(other[name] for other in others) / len(others)
            timed = ticket["converged"] and all(other["converged"] for other in others)
            steps = math.exp(math.fsum(math.log(other["early_stop_step"]) for other in others) / len(others))
            found.append(
                {
                    "replicate": own.spec.replicate,
                    "level": level,
                    "density": searched.density(setting, level),
                    "accuracy": ticket[name] - mean,
                    "speed": steps / ticket["early_stop_step"] if timed else None,
                }
            )
    return found


async def training_curves(
    record: Record, searched: Searched, setting: int, rival: str
) -> tuple[dict[str, list[TrainingCurve]], str]:
    """Read the curves of the main treatment and its rival at chosen levels.

    Returns:
        Curves by treatment, the dense network's first in each; and what was measured, `test` or `validation`.
    """
    lineages = searched.settings[setting]
    chains = [own for own in lineages if own.source_key is None]
    levels = [0, *chosen_levels(level for own in chains for level in searched.levels(own))]
    main = words.treatment_key(chains[0].spec.treatment, searched.label(setting))
    groups = {main: chains}
    if rival != words.DENSE:
        groups[rival] = [own for own in lineages if own.spec.treatment == rival]
    rows: dict[tuple[str, int], list[list[Row]]] = {}
    for name, group in groups.items():
        for level in levels:
            own = chains if level == 0 else group
            rows[name, level] = [
                await _rows(record, searched, manifest)
                for lineage in own
                if (manifest := searched.manifest(lineage, level)) is not None
            ]
    every = [row for trainings in rows.values() for training in trainings for row in training]
    measured = "test" if all(row["test_accuracy"] is not None for row in every) else "validation"
    column = "test_accuracy" if measured == "test" else "val_accuracy"
    panels = {
        name: [
            _curve(rows[name, level], searched.density(setting, level) or 0.0, column)
            for level in levels
            if rows[name, level]
        ]
        for name in groups
    }
    return panels, measured


async def initial_histograms(stored: Stored, setting: int) -> list[LayerHistogram]:
    """Count the initial weights of survivors at chosen densities, layer by layer, over all replicates."""
    searched = stored.searched
    chains = [own for own in searched.settings[setting] if own.source_key is None]
    levels = [0, *chosen_levels((level for own in chains for level in searched.levels(own)), MAX_SPARSE_CURVES - 1)]
    values: dict[str, dict[int, list[Any]]] = {}
    names = _chosen_layers([tensor.name for tensor in stored.tensors if tensor.prunable])
    for own in chains:
        for level in levels:
            if searched.manifest(own, level) is None:
                continue
            weights, mask = await stored.initial(own, level), await stored.mask(own, level)
            for name in names:
                values.setdefault(name, {}).setdefault(level, []).append(weights[name][mask[name]])
    densities = {level: searched.density(setting, level) or 0.0 for level in levels}
    pooled = {name: {densities[n]: np.concatenate(v) for n, v in own.items()} for name, own in values.items()}
    return await asyncio.to_thread(lambda: [_layer(name, own) for name, own in pooled.items()])


def chosen_levels(levels: Iterable[int], num: int = MAX_SPARSE_CURVES) -> list[int]:
    """Choose at most `num` levels from 1 on, evenly spaced, the deepest one among them."""
    deepest = max(levels, default=0)
    return sorted({round(deepest * i / num) for i in range(1, num + 1)} - {0})


def _chosen_layers(names: Sequence[str]) -> list[str]:
    if len(names) <= MAX_LAYERS:
        return list(names)
    places = sorted({round((len(names) - 1) * i / (MAX_LAYERS - 1)) for i in range(MAX_LAYERS)})
    return [names[place] for place in places]


def _metrics(manifest: Manifest | None) -> Mapping[str, Any]:
    assert manifest is not None
    metrics: Mapping[str, Any] = manifest["core"]["metrics"]
    return metrics


def _metrics_of_rival(searched: Searched, own: PlannedLineage, level: int, rival: str) -> list[Mapping[str, Any]]:
    if rival == words.DENSE:
        return [_metrics(searched.manifest(own, 0))]
    controls = [
        other
        for other in searched.settings[own.setting_index]
        if other.source_key == own.key and other.spec.treatment == rival
    ]
    return [_metrics(manifest) for other in controls if (manifest := searched.manifest(other, level)) is not None]


async def _rows(record: Record, searched: Searched, manifest: Manifest) -> list[Row]:
    data = await record.blob(searched.plan.tenant, manifest["stored"]["curves"]["sha256"])
    return [json.loads(line) for line in data.splitlines() if line.strip()]


def _curve(trainings: Sequence[Sequence[Row]], density: float, column: str) -> TrainingCurve:
    """Align the trainings of one level at the steps that all of them evaluated."""
    by_step = [{row["step"]: row[column] for row in rows} for rows in trainings]
    steps = sorted(set(by_step[0]).intersection(*by_step[1:]))
    accuracies = np.array([[own[step] for step in steps] for own in by_step], dtype=np.float64)
    return TrainingCurve(density, np.array(steps, dtype=np.float64), accuracies)


def _layer(name: str, survivors: Mapping[float, Any]) -> LayerHistogram:
    edges = shared_edges([float(np.abs(values).max(initial=0.0)) for values in survivors.values()])
    counts = {density: histogram(values, edges).astype(np.float64) for density, values in survivors.items()}
    return LayerHistogram(name, edges, counts)
