"""How far single precision leads away from exact arithmetic in the first steps: the reference, and an engine.

Adam divides every gradient by its own size. Where a gradient is nothing but rounding, as that of a weight whose
contributions cancel, the update is as large as any other, and its sign a matter of the order of summation: two correct
programs in single precision part there. So both are held against the same steps in double precision. An engine is as
good as the reference if it is as close to them; how far the two are apart says less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from benchmarks.engine import record
from benchmarks.engine.contestants.project import start as start_training
from benchmarks.engine.data import made_up, read_mnist
from benchmarks.engine.harness import GATE_BOUND, GATE_STEPS
from benchmarks.engine.prepare import describe, find_masks, lineage_of, start_of
from lth_core.data import TensorData, batches, load, split
from lth_core.determinism import pin
from lth_core.engines.base import Plan
from lth_core.expansion import LineageSpec
from lth_core.masks import Mask
from lth_core.networks.build import build_network
from lth_core.optimizers import ADAM_BETAS, ADAM_EPSILON
from lth_core.presets import PRESETS
from lth_core.weights import Array

MASK_STEPS = 200
SLACK = 1.5
"""An engine may be so many times as far from exact arithmetic as the reference, on average over all trainings."""


@dataclass(frozen=True)
class Distance:
    """How far weights are from those of double precision.

    Attributes:
        largest: Largest difference of a weight.
        mean: Mean absolute difference.
        share_beyond: Share of the weights that differ by more than the gate's bound.
    """

    largest: float
    mean: float
    share_beyond: float


def distance(found: Mapping[str, npt.NDArray[Any]], exact: Mapping[str, npt.NDArray[Any]]) -> Distance:
    """Compare two sets of weights."""
    apart = np.concatenate([np.abs(found[name].astype(np.float64) - exact[name]).reshape(-1) for name in exact])
    return Distance(float(apart.max()), float(apart.mean()), float((~(apart <= GATE_BOUND)).mean()))


def steps_in_double(
    lineage: LineageSpec, begin: dict[str, Array], mask: Mask | None, data: TensorData, steps: int
) -> dict[str, Array]:
    """Train a network without normalisation layers by Adam in double precision.

    Args:
        lineage: What is trained.
        begin: Its first weights, float32.
        mask: What is kept; None for all.
        data: The data set; its images are widened after they were normalised.
        steps: Updates.

    Returns:
        The weights, float64.
    """
    network = build_network(lineage.model, lineage.in_shape, lineage.num_classes).double()
    kept = {name: torch.from_numpy(part) for name, part in (mask or {}).items()}
    weights = dict(network.named_parameters())
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(torch.from_numpy(begin[name]).double())
            if name in kept:
                parameter.mul_(kept[name])
    recipe = lineage.train
    adam = torch.optim.Adam(weights.values(), lr=recipe.lr, betas=ADAM_BETAS, eps=ADAM_EPSILON)
    examples = batches(data, split(data.info.num_train, lineage.replicate), lineage.replicate, recipe.batch_size, 0)
    for _ in range(steps):
        images, labels = next(examples)
        adam.zero_grad()
        F.cross_entropy(network(images.double()), labels).backward()
        for name, keep in kept.items():
            gradient = weights[name].grad
            assert gradient is not None
            gradient.mul_(keep)
        adam.step()
        with torch.no_grad():
            for name, keep in kept.items():
                weights[name].mul_(keep)
    return {name: parameter.detach().numpy().copy() for name, parameter in weights.items()}


def compare(engine: str, lineage: LineageSpec, mask: Mask | None, data: TensorData, steps: int) -> dict[str, Distance]:
    """Return how far the reference, an engine, and one from the other are after the first steps."""
    begin = start_of(lineage)
    exact = steps_in_double(lineage, begin, mask, data, steps)
    found = {}
    for name in ("reference", engine):
        training = start_training(Plan(lineage, begin, mask), data, name)
        training.advance(steps)
        found[name] = dict(training.finish().final)
    return {
        "reference": distance(found["reference"], exact),
        "engine": distance(found[engine], exact),
        "apart": distance(
            found[engine], {name: array.astype(np.float64) for name, array in found["reference"].items()}
        ),
    }


def summary(rows: list[dict[str, Distance]]) -> dict[str, Any]:
    """Summarise replicates: whether the engine is, over all of them, as close to exact arithmetic as the reference."""
    numbers: dict[str, Any] = {"trainings": len(rows)}
    for name in ("reference", "engine", "apart"):
        numbers[name] = {
            "within_bound": sum(row[name].share_beyond == 0 for row in rows),
            "worst": max(row[name].largest for row in rows),
            "mean": fmean(row[name].mean for row in rows),
            "share_beyond": fmean(row[name].share_beyond for row in rows),
        }
    numbers["holds"] = numbers["engine"]["mean"] <= SLACK * numbers["reference"]["mean"]
    return numbers


def run(engine: str, root: Path | None, out: Path, replicates: int, levels: tuple[int, ...]) -> tuple[Path, bool]:
    """Compare at some levels and keep the result; also tells whether the engine is as exact as the reference."""
    pin(1)
    arrays = read_mnist(root) if root is not None else None
    name = "mnist" if arrays is not None else "mnist-like"
    arrays = arrays or made_up((1, 28, 28), 12_000, 2_000)
    info = describe(name, arrays)
    data, spec = load(info, arrays), PRESETS["lenet-mnist"]().spec
    masks = find_masks(lineage_of(spec, info, 0), data, max(levels), MASK_STEPS) if max(levels) else {}
    found: dict[int, list[dict[str, Distance]]] = {}
    for level in levels:
        lineages = [lineage_of(spec, info, i, steps=GATE_STEPS, eval_every=GATE_STEPS) for i in range(replicates)]
        found[level] = [compare(engine, lineage, masks.get(level), data, GATE_STEPS) for lineage in lineages]
        print(level, summary(found[level]), flush=True)
    whole = summary([row for rows in found.values() for row in rows])
    path = record.new_path(out, f"engine-exactness-{engine}")
    document = {
        "name": f"engine-exactness-{engine}",
        "claim": f"After {GATE_STEPS} steps the engine {engine} is as close to exact arithmetic as the reference is.",
        **record.environment("cpu"),
        "data": {"name": name, "synthetic": name != "mnist", "digest": info.digest},
        "bound": GATE_BOUND,
        "slack": SLACK,
        "all": whole,
        "levels": [{"level": level, **summary(rows)} for level, rows in found.items()],
        "rows": [
            {"level": level, "replicate": replicate, **{name: asdict(one) for name, one in row.items()}}
            for level, rows in found.items()
            for replicate, row in enumerate(rows)
        ],
    }
    record.write(path, document)
    return path, whole["holds"]
