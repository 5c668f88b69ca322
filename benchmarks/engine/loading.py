"""Claim: drawing, cutting and flipping the batches of Conv-2 takes under 1 percent of a training step on one core.

Timed in turn, round after round, on the processor's clock: batches alone, as the engine draws them, with and without
augmentation; and the engine's steps, which contain them.

    python -m benchmarks.engine.loading
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from typing import Any

import torch

from benchmarks.engine.data import made_up
from benchmarks.engine.prepare import describe, lineage_of, start_of
from benchmarks.result import write_result
from lth_core.data import TensorData, batches, load, split
from lth_core.determinism import pin
from lth_core.engines.augmenting import augmentation_of
from lth_core.engines.base import Plan
from lth_core.engines.conv.training import ConvTraining
from lth_core.expansion import LineageSpec
from lth_core.presets import PRESETS
from lth_core.pulse import Pulse

MOST = 0.01
NUM_BATCHES = 400
NUM_STEPS = 10


def seconds_per_batch(plan: Plan, data: TensorData) -> float:
    """Return the processor seconds that one batch takes, those of its epoch's order in proportion."""
    lineage = plan.lineage
    parts, augmentation = split(data.info.num_train, lineage.replicate), augmentation_of(plan, data)
    begun_s = time.process_time()
    found = batches(data, parts, lineage.replicate, lineage.train.batch_size, 0, augmentation=augmentation)
    for images, _ in itertools.islice(found, NUM_BATCHES):
        assert images.dtype == torch.float32
    return (time.process_time() - begun_s) / NUM_BATCHES


def seconds_per_step(plan: Plan, data: TensorData) -> float:
    """Return the processor seconds of one step of the engine, its batch among them."""
    training = ConvTraining(plan, data, Pulse())
    training.advance(2)
    begun_s = time.process_time()
    training.advance(2 + NUM_STEPS)
    return (time.process_time() - begun_s) / NUM_STEPS


def measure(num_rounds: int = 5) -> dict[str, Any]:
    """Measure; return the figures with the verdict."""
    pin(1)
    arrays = made_up((3, 32, 32), 50_000, 1_000)
    info, spec = describe("cifar10-like", arrays), PRESETS["conv2-cifar10"]().spec
    data = load(info, arrays)

    def lineage(**train: Any) -> LineageSpec:
        return lineage_of(spec, info, 0, steps=NUM_STEPS * 10, eval_every=NUM_STEPS * 10, **train)

    plain = Plan(lineage(), start_of(lineage()), None)
    augmented = Plan(lineage(flip=True, crop_padding=4), start_of(lineage()), None)
    rounds = [
        {
            "batch_s": seconds_per_batch(plain, data),
            "augmented_batch_s": seconds_per_batch(augmented, data),
            "step_s": seconds_per_step(plain, data),
        }
        for _ in range(num_rounds)
    ]
    shares = {
        name: statistics.median(one[f"{name}_s"] / one["step_s"] for one in rounds)
        for name in ("batch", "augmented_batch")
    }
    return {"share_of_a_step": shares, "rounds": rounds, "gates": {"loading": max(shares.values()) < MOST}}


def main() -> int:
    """Measure and keep the result; returns the exit status, 1 if the claim fails."""
    numbers = measure()
    print(numbers["share_of_a_step"])
    print(write_result("conv-2-loading", (__doc__ or "").splitlines()[0], numbers))
    return 0 if all(numbers["gates"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
