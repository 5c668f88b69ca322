"""Trainings of tiny networks, neighbours that must not matter to them, and digests of what they leave behind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from lth_core import random
from lth_core.canonical import digest_of
from lth_core.data import TensorData
from lth_core.determinism import pin
from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.pack import PackEngine
from lth_core.expansion import LineageSpec
from lth_core.initialisation import glorot_normal
from lth_core.masks import Mask, full_mask
from lth_core.model_spec import ModelSpec
from lth_core.weights import content_digest
from tests.support.tiny import tiny_data, tiny_lineage

IMAGES = (3, 8, 8)
KINDS: dict[str, dict[str, Any]] = {
    "dense adam": {"train": {"label_smoothing": 0.1, "weight_decay": 1e-3}},
    "dense momentum": {"train": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}},
    "convolutions": {
        "model": ModelSpec(name="conv_2"),
        "shape": IMAGES,
        "train": {"label_smoothing": 0.1, "steps": 12, "eval_every": 4},
    },
    "dropout and augmentation": {
        "model": ModelSpec(name="conv_2", dropout=0.5),
        "shape": IMAGES,
        "train": {"flip": True, "crop_padding": 1, "steps": 12, "eval_every": 4},
    },
    "batch norm": {
        "model": ModelSpec(name="resnet_20", width=2),
        "shape": IMAGES,
        "train": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "steps": 8, "eval_every": 4},
    },
}
Build = Callable[[int, int], PackEngine]
"""Makes an engine of so many slots and steps per segment."""


def lineage_of(kind: str, *, replicate: int = 0, **train: Any) -> LineageSpec:
    """A lineage of one of the kinds."""
    options = KINDS[kind]
    return tiny_lineage(**{**options, "train": {**options["train"], **train}}, replicate=replicate)


def mask_of(lineage: LineageSpec, density: float) -> Mask:
    """A random mask of about this density."""
    return {
        name: random.uniforms(5, bits.size, tensor=i).reshape(bits.shape) < density
        for i, (name, bits) in enumerate(full_mask(lineage.tensors()).items())
    }


def plan_of(lineage: LineageSpec, *, density: float | None = 0.5, **more: Any) -> Plan:
    """A plan from the lineage's initialisation; density None is the dense network."""
    start = glorot_normal(lineage.tensors(), random.seed_key(lineage.replicate, "init"))
    mask = None if density is None else mask_of(lineage, density)
    return Plan(lineage, start, mask, **more)


def subject_of(kind: str) -> Plan:
    """The training whose bits are watched: what it leaves behind includes its optimizer's last state."""
    lineage = lineage_of(kind)
    return plan_of(lineage, record_at=lineage.train.steps, record_optimizer=True)


def neighbours_of(kind: str) -> list[Plan]:
    """Trainings of another replicate, density, age and rate, and one that diverges on the way."""
    return [
        plan_of(lineage_of(kind, replicate=3, lr=0.1), density=0.1, first_step=5),
        plan_of(lineage_of(kind, replicate=4), density=0.9, rate=lambda step: 1e30 if step > 2 else 0.01),
        plan_of(lineage_of(kind, replicate=5, lr=0.001), density=None),
    ]


def data_of(plan: Plan, device: str = "cpu") -> TensorData:
    """The tiny data set a plan is made for."""
    return tiny_data(plan.lineage.in_shape, device=device)


def engine(num_slots: int, segment_steps: int = 13) -> PackEngine:
    """An engine of so many slots, whatever the network."""
    pin(1)
    return PackEngine(num_slots=num_slots, num_branches=num_slots, segment_steps=segment_steps)


def admit(into: PackEngine, device: str = "cpu", **plans: Plan) -> None:
    """Admit plans by name, in order."""
    for name, plan in plans.items():
        into.admit(name, plan, data_of(plan, device))


def run_all(running: PackEngine) -> dict[str, Trained | Exception]:
    """Run to the end and collect everything."""
    while running.run():
        pass
    return running.collect()


def train_alone(plan: Plan, build: Build = engine, device: str = "cpu") -> Trained:
    """What a plan leaves behind when nothing else is in the pack."""
    running = build(1, 13)
    admit(running, device, subject=plan)
    return trained(run_all(running)["subject"])


def trained(result: Trained | Exception) -> Trained:
    """Return what a training left behind, or raise why it failed."""
    if isinstance(result, Exception):
        raise result
    return result


def digest(result: Trained | Exception) -> str:
    """SHA-256 over weights, recorded state, mask and curves."""
    found = trained(result)
    assert found.recorded is not None
    assert found.recorded_optimizer is not None
    parts = {
        "start": content_digest(found.start),
        "final": content_digest(found.final),
        "recorded": content_digest(found.recorded),
        "moments": content_digest(found.recorded_optimizer),
        "mask": None
        if found.mask is None
        else hashlib.sha256(b"".join(bits.tobytes() for bits in found.mask.values())).hexdigest(),
        "curves": hashlib.sha256(found.curves.to_jsonl()).hexdigest(),
        "validation": found.validation_sha256,
    }
    return digest_of(parts)


def circumstances(kind: str, build: Build = engine, device: str = "cpu") -> dict[str, str]:
    """Digests of one training under every circumstance that must not matter to it."""
    subject, neighbours = subject_of(kind), neighbours_of(kind)
    others = {f"neighbour {i}": plan for i, plan in enumerate(neighbours)}
    found = {"alone": digest(train_alone(subject, build, device))}

    running = build(8, 13)
    admit(running, device, subject=subject, **others)
    found["first of eight slots"] = digest(run_all(running)["subject"])

    running = build(4, 13)
    admit(running, device, **others, subject=subject)
    found["last slot of a full pack"] = digest(run_all(running)["subject"])

    running = build(4, 5)
    admit(running, device, **others)
    running.run()
    admit(running, device, subject=subject)
    found["admitted late, shorter segments"] = digest(run_all(running)["subject"])

    running = build(2, 5)
    admit(running, device, **{"neighbour 0": neighbours[0]}, subject=subject)
    running.run()
    kept = running.checkpoint("subject")
    assert kept is not None
    saved = kept.to_bytes()
    for name, into in (("resumed", build(2, 5)), ("migrated to another slot of a larger pack", build(6, 7))):
        if name != "resumed":
            admit(into, device, **others)
        into.admit("subject", subject, data_of(subject, device), checkpoint=Checkpoint.from_bytes(saved))
        found[name] = digest(run_all(into)["subject"])
    return found


def differing(kind: str, build: Build = engine) -> list[str]:
    """Return the circumstances under which a training's bits are not those it has alone."""
    found = circumstances(kind, build)
    return [name for name, value in found.items() if value != found["alone"]]
