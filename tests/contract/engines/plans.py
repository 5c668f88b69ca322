"""Plans of small trainings, and what two trainings are compared by."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from lth_core import random
from lth_core.determinism import pin
from lth_core.engines.base import Plan, Trained
from lth_core.expansion import LineageSpec
from lth_core.initialisation import glorot_normal
from lth_core.masks import Mask, full_mask
from lth_core.pulse import Pulse
from lth_core.weights import content_digest
from tests.contract.engines.engines import EngineUnderTest
from tests.support.tiny import tiny_data, tiny_lineage

RECIPES: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam", "lr": 0.005},
    "adam_coupled": {"optimizer": "adam", "lr": 0.005, "weight_decay": 0.01},
    "adamw": {"optimizer": "adam", "lr": 0.005, "weight_decay": 0.05, "weight_decay_mode": "decoupled"},
    "sgd": {"optimizer": "sgd", "lr": 0.05},
    "momentum": {"optimizer": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 1e-3},
    "smoothed": {"optimizer": "adam", "lr": 0.005, "label_smoothing": 0.1},
    "scheduled": {"optimizer": "adam", "lr": 0.005, "warmup_steps": 4, "milestones": (9, 15)},
    "whole_batch": {"optimizer": "adam", "lr": 0.005, "batch_size": 108},
    "single": {"optimizer": "sgd", "lr": 0.01, "batch_size": 1},
}
DENSITIES = (0.6, 0.3, 0.05)


def random_mask(lineage: LineageSpec, density: float) -> Mask:
    """Return a mask that keeps about a share of every tensor, and at least one weight of each."""
    found: Mask = {}
    for i, (name, ones) in enumerate(full_mask(lineage.tensors()).items()):
        found[name] = random.uniforms(5, ones.size, tensor=i).reshape(ones.shape) < density
        found[name].reshape(-1)[0] = True
    return found


def plan_of(lineage: LineageSpec | None = None, *, density: float | None = None, **options: Any) -> Plan:
    """Return a plan on the tiny data set from the lineage's own initialisation."""
    lineage = tiny_lineage() if lineage is None else lineage
    start = glorot_normal(lineage.tensors(), random.seed_key(lineage.replicate, "init"))
    mask = None if density is None else random_mask(lineage, density)
    return Plan(lineage, start, mask, **options)


def trained_by(engine: EngineUnderTest, plan: Plan, *borders: int) -> Trained:
    """Train a plan to its end, cut into segments at the borders."""
    pin(1)
    training = engine.start(plan, tiny_data(plan.lineage.in_shape, plan.lineage.normalisation), Pulse())
    for border in (*borders, plan.lineage.train.steps):
        training.advance(border)
    return training.finish()


def first_steps(plan: Plan, steps: int) -> Plan:
    """Return a plan that ends after so many steps; its schedule must not depend on its length."""
    recipe = plan.lineage.train.model_copy(update={"steps": steps, "eval_every": steps})
    return replace(plan, lineage=plan.lineage.model_copy(update={"train": recipe}))


def digest(trained: Trained) -> str:
    """Return a SHA-256 over every bit that a training left behind."""
    parts = [content_digest(trained.start), content_digest(trained.final), trained.validation_sha256]
    parts.append(hashlib.sha256(trained.curves.to_jsonl()).hexdigest())
    parts.append("" if trained.recorded is None else content_digest(trained.recorded))
    state = trained.recorded_optimizer
    parts.append("" if state is None else content_digest({n: np.atleast_1d(a) for n, a in state.items()}))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
