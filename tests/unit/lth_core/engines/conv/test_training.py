"""A plan trained by hand: as the reference trains it, in one bit pattern however it is cut, recorded and resumed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lth_core import random
from lth_core.determinism import pin
from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.conv.training import ConvTraining
from lth_core.errors import LevelCancelled, NonFiniteError
from lth_core.expansion import LineageSpec
from lth_core.initialisation import glorot_normal
from lth_core.masks import Mask, full_mask
from lth_core.model_spec import ModelSpec
from lth_core.pulse import Pulse
from lth_core.training import train
from lth_core.weights import content_digest
from tests.support.tiny import tiny_data, tiny_lineage

SHAPE = (3, 8, 8)
RECIPE: dict[str, Any] = {"optimizer": "sgd", "lr": 0.005, "momentum": 0.9, "steps": 17, "eval_every": 5}


def lineage_of(name: str = "conv_2", dropout: float = 0.0, **train: Any) -> LineageSpec:
    return tiny_lineage(model=ModelSpec(name=name, dropout=dropout), shape=SHAPE, train={**RECIPE, **train})


def random_mask(lineage: LineageSpec, density: float) -> Mask:
    generator = np.random.default_rng(3)
    return {name: generator.random(bits.shape) < density for name, bits in full_mask(lineage.tensors()).items()}


def plan_of(lineage: LineageSpec, density: float | None = 0.1, **options: Any) -> Plan:
    start = glorot_normal(lineage.tensors(), random.seed_key(lineage.replicate, "init"))
    return Plan(lineage, start, None if density is None else random_mask(lineage, density), **options)


def begin(plan: Plan, pulse: Pulse | None = None, checkpoint: Checkpoint | None = None) -> ConvTraining:
    pin(1)
    return ConvTraining(plan, tiny_data(SHAPE), pulse or Pulse(), checkpoint)


def run(plan: Plan) -> Trained:
    training = begin(plan)
    training.advance(plan.lineage.train.steps)
    return training.finish()


def fingerprint(trained: Trained) -> list[Any]:
    weights = [trained.start, trained.recorded or {}, trained.final, trained.recorded_optimizer or {}]
    return [*map(content_digest, weights), trained.curves.to_jsonl(), trained.validation_sha256]


def rows(trained: Trained) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trained.curves.to_jsonl().splitlines()]


@pytest.mark.parametrize(
    ("options", "density"),
    [
        ({}, None),
        ({"label_smoothing": 0.1, "weight_decay": 0.01}, 0.02),
        ({"flip": True, "crop_padding": 1, "test_curve": True}, 0.5),
    ],
    ids=["plain", "smoothing and decay", "augmentation and test curve"],
)
def test_a_training_leaves_what_the_reference_leaves(options: dict[str, Any], density: float | None):
    plan = plan_of(lineage_of(**options), density, record_at=4, record_optimizer=True)
    found = run(plan)
    wanted = train(plan, tiny_data(SHAPE), Pulse())
    for one, other in ((found.start, wanted.start), (found.recorded, wanted.recorded), (found.final, wanted.final)):
        assert one is not None
        assert other is not None
        assert list(one) == list(other)
        assert all(np.abs(one[name] - other[name]).max() < 1e-5 for name in one)
    assert found.recorded_optimizer is not None
    assert wanted.recorded_optimizer is not None
    assert np.allclose(found.recorded_optimizer["momentum"], wanted.recorded_optimizer["momentum"], atol=1e-5)
    assert found.validation_sha256 == wanted.validation_sha256
    assert found.mask is plan.mask
    assert [row["step"] for row in rows(found)] == [0, 5, 10, 15, 17]
    for row, same in zip(rows(found), rows(wanted), strict=True):
        assert row == pytest.approx(same, abs=1e-5)


def test_what_falls_out_is_what_falls_out_of_the_reference():
    plan = plan_of(lineage_of(dropout=0.5), 0.1)
    found, wanted = run(plan), train(plan, tiny_data(SHAPE), Pulse())
    assert all(np.abs(found.final[name] - wanted.final[name]).max() < 1e-5 for name in wanted.final)
    assert fingerprint(found) != fingerprint(run(plan_of(lineage_of(), 0.1)))


@pytest.mark.parametrize(
    ("cuts", "optimizer", "density"), [([1], "sgd", None), ([5], "adam", 0.1), ([3, 4, 9, 16], "adam", None)]
)
def test_bits_do_not_depend_on_segments_or_processes(cuts: list[int], optimizer: str, density: float | None):
    lineage = lineage_of(dropout=0.2, flip=True, optimizer=optimizer, momentum=0.9 if optimizer == "sgd" else 0.0)
    plan = plan_of(lineage, density, record_at=4, record_optimizer=True)
    whole = fingerprint(run(plan))

    in_segments = begin(plan)
    resumed = begin(plan)
    for cut in [*cuts, 17]:
        in_segments.advance(cut)
        resumed.advance(cut)
        assert in_segments.step == resumed.step == cut
        resumed = begin(plan, checkpoint=Checkpoint.from_bytes(resumed.checkpoint().to_bytes()))
    assert fingerprint(in_segments.finish()) == whole
    assert fingerprint(resumed.finish()) == whole


def test_a_training_that_begins_later_sees_the_batches_and_rates_of_its_steps():
    plan = plan_of(lineage_of(optimizer="sgd", momentum=0.0, milestones=(9,)), 0.5, record_at=6)
    whole = run(plan)
    assert whole.recorded is not None
    rest = run(Plan(plan.lineage, whole.recorded, plan.mask, first_step=6))
    assert content_digest(rest.final) == content_digest(whole.final)
    assert rows(rest)[0]["step"] == 6


def test_another_rate_is_another_training():
    lineage = lineage_of()
    slow = run(plan_of(lineage, rate=lambda _: 1e-9))
    assert all(np.abs(slow.final[name] - slow.start[name]).max() < 1e-6 for name in slow.start)


def test_a_training_that_diverges_says_so():
    with pytest.raises(NonFiniteError):
        run(plan_of(lineage_of(lr=10.0, momentum=0.99)))


def test_a_training_ends_when_its_caller_asks():
    heard: list[int] = []
    training = begin(plan_of(lineage_of()), Pulse(heard.append, lambda: bool(heard) and heard[-1] >= 10))
    with pytest.raises(LevelCancelled):
        training.advance(17)
    assert training.step == 10


def test_a_plan_of_the_reference_is_refused():
    with pytest.raises(ValueError, match="reference"):
        begin(plan_of(lineage_of(), held=True))
    resnet = tiny_lineage(model=ModelSpec(name="resnet_20", width=2), shape=SHAPE)
    with pytest.raises(ValueError, match="resnet_20"):
        begin(plan_of(resnet))
