"""A pack computes what the reference does: to 1e-5 over the first 20 steps, judged at the same steps."""

from __future__ import annotations

import numpy as np
import pytest

from lth_core.engines.pack import PackEngine
from lth_core.engines.pack.shape import PackShape
from lth_core.model_spec import ModelSpec
from lth_core.pulse import Pulse
from lth_core.training import train
from tests.support.pack_plans import IMAGES, admit, data_of, engine, plan_of, run_all, trained
from tests.support.tiny import tiny_lineage

RECIPES = {
    "adam": {},
    "adam, coupled decay": {"weight_decay": 1e-2},
    "adam, decoupled decay": {"weight_decay": 1e-2, "weight_decay_mode": "decoupled"},
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "sgd, decoupled decay": {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0.1, "weight_decay_mode": "decoupled"},
    "momentum, coupled decay": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-2},
    "label smoothing": {"label_smoothing": 0.2},
    "warm-up and milestones": {"warmup_steps": 4, "milestones": (12,)},
    "augmentation": {"flip": True, "crop_padding": 1},
}
NETWORKS = {"resnet_20": ModelSpec(name="resnet_20", width=2), "conv_2": ModelSpec(name="conv_2", dropout=0.5)}


def agree(plan, running, within):
    reference = train(plan, data_of(plan), Pulse())
    admit(running, subject=plan)
    found = trained(run_all(running)["subject"])
    for name, weights in reference.final.items():
        assert np.abs(found.final[name] - weights).max() <= within, name
    for name, weights in (reference.recorded or {}).items():
        assert np.abs(found.recorded[name] - weights).max() <= within, name
    for name, moment in (reference.recorded_optimizer or {}).items():
        assert np.abs(found.recorded_optimizer[name] - moment).max() <= within, name
    for name, weights in reference.start.items():
        assert np.array_equal(found.start[name].view(np.uint32), weights.view(np.uint32))
    assert found.validation_sha256 == reference.validation_sha256
    for ours, theirs in zip(found.curves.points, reference.curves.points, strict=True):
        assert (ours.step, ours.lr) == (theirs.step, theirs.lr)
        for part in ("train", "validation", "test"):
            score, wanted = getattr(ours, part), getattr(theirs, part)
            assert (score is None) == (wanted is None)
            if wanted is not None:
                assert score.loss == pytest.approx(wanted.loss, abs=within * 10)
                assert score.accuracy == pytest.approx(wanted.accuracy, abs=0.09)
    assert found.curves.early_stop.step == reference.curves.early_stop.step


@pytest.mark.parametrize("variant", ["own", "bmm"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_twenty_steps_agree_with_the_reference(recipe, variant):
    options = {"steps": 20, "eval_every": 5, "test_curve": variant == "bmm", **RECIPES[recipe]}
    plan = plan_of(tiny_lineage(train=options), record_at=7, record_optimizer=True)
    engine(1)
    agree(plan, PackEngine(num_slots=3, num_branches=2, segment_steps=8, variant=variant), 1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_other_networks_agree_with_the_reference_step_by_step(network):
    recipe = {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "steps": 4, "eval_every": 2}
    lineage = tiny_lineage(model=NETWORKS[network], shape=IMAGES, train={**recipe, "flip": True, "crop_padding": 1})
    agree(plan_of(lineage), engine(2, 3), 1e-5)


@pytest.mark.parametrize("shape", [IMAGES, (1, 9, 6)])
@pytest.mark.parametrize("name", ["conv_2", "conv_4"])
@pytest.mark.parametrize("optimizer", [{"optimizer": "sgd", "lr": 0.01, "momentum": 0.9}, {"lr": 1e-5}])
def test_packed_convolutions_agree_with_the_reference_step_by_step(name, shape, optimizer):
    recipe = {"steps": 4, "eval_every": 2, "label_smoothing": 0.1, "weight_decay": 1e-3, **optimizer}
    plan = plan_of(
        tiny_lineage(model=ModelSpec(name=name), shape=shape, train=recipe), record_at=2, record_optimizer=True
    )
    assert PackShape.of(plan).variant == "own"
    agree(plan, engine(2, 3), 1e-5)


def test_a_training_that_begins_later_goes_on_with_schedule_order_and_optimizer():
    lineage = tiny_lineage(train={"steps": 20, "milestones": (9,)}, rewind_step=7)
    whole = train(plan_of(lineage, record_at=7, record_optimizer=True), data_of(plan_of(lineage)), Pulse())
    plan = plan_of(lineage, first_step=7, optimizer_state=whole.recorded_optimizer, record_at=7, record_optimizer=True)
    agree(plan, engine(2, 6), 1e-5)


def test_a_rate_of_its_own_replaces_the_schedule():
    plan = plan_of(tiny_lineage(train={"steps": 20}), rate=lambda step: 0.02 if step < 4 else 0.002)
    agree(plan, engine(1, 20), 1e-5)
