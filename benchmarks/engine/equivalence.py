"""Whether an engine's tickets are the reference's: replicates paired, accuracy by TOST, survivors counted exactly.

Both engines search the same lineages: same starts, same data order, each pruning what it trained itself. Accuracy at
the end must be equivalent within the bound at every judged level; survivors per layer must be equal in number; the
early-stopping steps are compared by a two-sample Kolmogorov-Smirnov test, and the overlap of the masks is reported.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.engine import record
from benchmarks.engine.contestants.project import start as start_training
from benchmarks.engine.data import made_up, read_mnist
from benchmarks.engine.prepare import describe, lineage_of
from benchmarks.engine.statistics import ks_p, paired_tost
from lth_core import random
from lth_core.data import TensorData, load
from lth_core.determinism import pin
from lth_core.engines.base import Plan
from lth_core.expansion import LineageSpec
from lth_core.initialisation import glorot_normal
from lth_core.masks import Mask, full_mask, kept_per_layer
from lth_core.presets import PRESETS
from lth_core.pruning import next_mask

ALPHA = 0.05


@dataclass(frozen=True)
class Level:
    """What one engine found at one level of one replicate."""

    replicate: int
    level: int
    end_accuracy: float
    early_stop_accuracy: float
    early_stop_step: int
    kept: dict[str, int]


def search(
    engine: str, lineage: LineageSpec, data: TensorData, levels: tuple[int, ...]
) -> dict[int, tuple[Level, Mask]]:
    """Search one lineage with one engine up to the last of some levels, and return those."""
    begin = glorot_normal(lineage.tensors(), random.seed_key(lineage.replicate, "init"))
    mask: Mask | None = None
    found: dict[int, tuple[Level, Mask]] = {}
    for level in range(max(levels) + 1):
        training = start_training(Plan(lineage, begin, mask), data, engine)
        training.advance(lineage.train.steps)
        trained = training.finish()
        if level in levels:
            curves, here = trained.curves, mask or full_mask(lineage.tensors())
            assert curves.end.test is not None
            assert curves.early_stop.test is not None
            accuracies = curves.end.test.accuracy, curves.early_stop.test.accuracy
            kept = kept_per_layer(here)
            found[level] = Level(lineage.replicate, level, *accuracies, curves.early_stop.step, kept), here
        mask = next_mask(lineage, mask, trained.final, rewind=begin, level=level)
    return found


def overlap(first: Mask, second: Mask) -> float:
    """Return the share of weights kept by both among those kept by either."""
    both = sum(int(np.count_nonzero(first[name] & second[name])) for name in first)
    either = sum(int(np.count_nonzero(first[name] | second[name])) for name in first)
    return both / either


def verdict(ours: list[Level], theirs: list[Level], overlaps: list[float], bound: float) -> dict[str, Any]:
    """Judge one level: its paired accuracies, early-stopping steps and survivors."""
    tests = {
        "end_accuracy": paired_tost([x.end_accuracy for x in theirs], [x.end_accuracy for x in ours], bound),
        "early_stop_accuracy": paired_tost(
            [x.early_stop_accuracy for x in theirs], [x.early_stop_accuracy for x in ours], bound
        ),
    }
    steps = ks_p([x.early_stop_step for x in theirs], [x.early_stop_step for x in ours])
    equal_counts = all(a.kept == b.kept for a, b in zip(ours, theirs, strict=True))
    return {
        "level": ours[0].level,
        "replicates": len(ours),
        **{name: {**asdict(test), "equivalent": test.equivalent} for name, test in tests.items()},
        "early_stop_step_ks_p": steps,
        "survivors_per_layer_equal": equal_counts,
        "mean_overlap_of_masks": fmean(overlaps),
        "holds": all(test.equivalent for test in tests.values()) and equal_counts and steps >= ALPHA,
    }


def run(
    engine: str, root: Path | None, out: Path, replicates: int, steps: int, levels: tuple[int, ...], bound: float
) -> tuple[Path, bool]:
    """Search with both engines, judge every level, and keep the result; also tells whether all hold."""
    pin(1)
    arrays = read_mnist(root) if root is not None else None
    name = "mnist" if arrays is not None else "mnist-like"
    arrays = arrays or made_up((1, 28, 28), 12_000, 2_000)
    info = describe(name, arrays)
    data, spec = load(info, arrays), PRESETS["lenet-mnist"]().spec
    path = record.new_path(out, f"engine-equivalence-{engine}")
    document: dict[str, Any] = {
        "name": f"engine-equivalence-{engine}",
        "claim": f"Tickets of the engine {engine} are equivalent to the reference's within {bound} of accuracy.",
        **record.environment("cpu"),
        "data": {"name": name, "synthetic": name != "mnist", "digest": info.digest},
        "steps": steps,
        "bound": bound,
        "rows": [],
        "verdicts": [],
    }
    rows: dict[int, tuple[list[Level], list[Level], list[float]]] = {level: ([], [], []) for level in levels}
    for replicate in range(replicates):
        lineage = lineage_of(spec, info, replicate, steps=steps, eval_every=min(100, steps))
        found, wanted = (search(each, lineage, data, levels) for each in (engine, "reference"))
        for level in levels:
            ours, theirs, overlaps = rows[level]
            ours.append(found[level][0])
            theirs.append(wanted[level][0])
            overlaps.append(overlap(found[level][1], wanted[level][1]))
            document["rows"].append(
                {"ours": asdict(ours[-1]), "reference": asdict(theirs[-1]), "overlap": overlaps[-1]}
            )
        record.write(path, document)
        print(f"replicate {replicate + 1} of {replicates} done", flush=True)
    document["verdicts"] = [verdict(*rows[level], bound) for level in levels] if replicates > 1 else []
    record.write(path, document)
    for each in document["verdicts"]:
        print(each)
    return path, bool(document["verdicts"]) and all(each["holds"] for each in document["verdicts"])
