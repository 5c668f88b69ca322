"""What every engine promises: the reference's arithmetic, and bits that no cut, companion or kill can change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lth_core.determinism import pin
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.starting import start_training
from lth_core.errors import LevelCancelled, NonFiniteError
from lth_core.expansion import LineageSpec
from lth_core.names import NormalisationKind
from lth_core.pulse import Pulse
from lth_core.training import train
from tests.contract.engines.engines import ENGINES, EngineUnderTest
from tests.contract.engines.plans import DENSITIES, RECIPES, digest, first_steps, plan_of, random_mask, trained_by
from tests.support.tiny import tiny_data, tiny_lineage

CUTS = (1, 7, 10, 13, 29)


def lineage_of(engine: EngineUnderTest, **train: Any) -> LineageSpec:
    return tiny_lineage(model=engine.model, shape=engine.shape, train=train)


def of_all_engines(recipes: Iterable[str]) -> list[Any]:
    """Every engine with every recipe and density, slow ones with some."""
    densities = (None, *DENSITIES)
    return [
        pytest.param(engine, recipe, density, id=f"{engine.name}-{recipe}-{density}")
        for engine in ENGINES
        for recipe in recipes
        for density in densities
        if not engine.is_slow or (recipe in ("adam", "momentum", "smoothed") and density in (None, 0.3))
    ]


@pytest.mark.parametrize(("engine", "recipe", "density"), of_all_engines(RECIPES), indirect=["engine"])
def test_the_first_twenty_steps_are_those_of_the_reference(
    engine: EngineUnderTest, recipe: str, density: float | None
) -> None:
    plan = first_steps(plan_of(lineage_of(engine, **RECIPES[recipe]), density=density), 20)
    own = trained_by(engine, plan)
    pin(1)
    judge = train(plan, tiny_data(engine.shape), Pulse())
    off = np.concatenate([np.abs(own.final[name] - weights).reshape(-1) for name, weights in judge.final.items()])
    assert off.max() <= 20 * plan.lineage.train.lr
    noisy = engine.noisy_share if plan.lineage.train.optimizer == "adam" else engine.flipped_share
    assert (off > 1e-5).mean() <= noisy
    for here, there in zip(own.curves.points, judge.curves.points, strict=True):
        assert here.step == there.step
        assert here.lr == there.lr
        assert abs(here.validation.loss - there.validation.loss) < (1e-3 if noisy else 1e-4)
        assert (here.test is None) == (there.test is None)
    assert own.validation_sha256 == judge.validation_sha256


@pytest.mark.parametrize("normalisation", ["unit_range", "unit_norm"])
def test_pictures_normalised_otherwise_are_what_the_reference_sees(
    engine: EngineUnderTest, normalisation: NormalisationKind
) -> None:
    lineage = lineage_of(engine, optimizer="sgd", lr=0.05).model_copy(update={"normalisation": normalisation})
    plan = first_steps(plan_of(lineage), 20)
    own = trained_by(engine, plan)
    pin(1)
    judge = train(plan, tiny_data(engine.shape, normalisation), Pulse())
    plain = trained_by(engine, first_steps(plan_of(lineage_of(engine, optimizer="sgd", lr=0.05)), 20))
    for name, weights in judge.final.items():
        assert np.abs(own.final[name] - weights).max() <= 1e-5, name
    assert max(np.abs(own.final[name] - weights).max() for name, weights in plain.final.items()) > 1e-3


@pytest.mark.parametrize("density", [None, *DENSITIES])
def test_bits_do_not_depend_on_where_the_training_is_cut(engine: EngineUnderTest, density: float | None) -> None:
    plan = plan_of(lineage_of(engine), density=density, record_at=12, record_optimizer=True)
    assert digest(trained_by(engine, plan, *CUTS)) == digest(trained_by(engine, plan))


@pytest.mark.parametrize("recipe", ["adam", "momentum", "sgd"])
@pytest.mark.parametrize("cut", [1, 13, 20])
def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_bits(
    engine: EngineUnderTest, recipe: str, cut: int
) -> None:
    lineage = lineage_of(engine, **RECIPES[recipe])
    plan = plan_of(lineage, density=0.4, record_at=10, record_optimizer=RECIPES[recipe]["optimizer"] == "adam")
    pin(1)
    data = tiny_data(engine.shape)
    killed = engine.start(plan, data, Pulse())
    killed.advance(cut)
    kept = killed.checkpoint().to_bytes()
    killed.advance(30)
    resumed = engine.start(plan, data, Pulse(), Checkpoint.from_bytes(kept))
    assert resumed.step == cut
    resumed.advance(30)
    assert digest(resumed.finish()) == digest(trained_by(engine, plan))


def test_a_checkpoint_of_another_plan_is_left_aside(engine: EngineUnderTest) -> None:
    plan, other = plan_of(lineage_of(engine), density=0.4), plan_of(lineage_of(engine), density=0.5)
    pin(1)
    data = tiny_data(engine.shape)
    begun = engine.start(other, data, Pulse())
    begun.advance(20)
    training = engine.start(plan, data, Pulse(), begun.checkpoint())
    assert training.step == 0
    training.advance(30)
    assert digest(training.finish()) == digest(trained_by(engine, plan))


def test_companions_in_one_process_change_no_bit(engine: EngineUnderTest) -> None:
    plans = [plan_of(lineage_of(engine), density=density) for density in (None, *DENSITIES)]
    plans.append(plan_of(lineage_of(engine, lr=0.05, batch_size=7), density=0.5))
    pin(1)
    trainings = [engine.start(plan, tiny_data(engine.shape), Pulse()) for plan in plans]
    for border in range(3, 31, 3):
        for training in trainings:
            training.advance(border)
    for plan, training in zip(plans, trainings, strict=True):
        assert digest(training.finish()) == digest(trained_by(engine, plan))


def test_a_mask_of_ones_is_the_dense_network_to_the_bit(engine: EngineUnderTest) -> None:
    plan = plan_of(lineage_of(engine))
    ones = replace(plan, mask=random_mask(plan.lineage, 2.0))
    assert digest(trained_by(engine, ones)) == digest(trained_by(engine, plan))


@pytest.mark.parametrize("recipe", ["adam_coupled", "adamw", "momentum"])
def test_pruned_weights_and_what_the_optimizer_knows_of_them_stay_zero(engine: EngineUnderTest, recipe: str) -> None:
    plan = plan_of(lineage_of(engine, **RECIPES[recipe]), density=0.3, record_at=30, record_optimizer=True)
    trained = trained_by(engine, plan)
    assert plan.mask is not None
    for name, kept in plan.mask.items():
        for weights in (trained.start, trained.final):
            assert not weights[name][~kept].view(np.uint32).any(), name
    moments = [array for name, array in (trained.recorded_optimizer or {}).items() if name != "count"]
    is_weight = np.concatenate(
        [
            (plan.mask[t.name] if t.name in plan.mask else np.ones(t.shape, dtype=np.bool_)).reshape(-1)
            for t in plan.lineage.tensors()
            if t.is_parameter
        ]
    )
    assert moments
    assert all(not moment[~is_weight].any() for moment in moments)


def test_training_goes_on_from_a_recorded_step_as_if_it_had_never_stopped(engine: EngineUnderTest) -> None:
    lineage = lineage_of(engine)
    whole = trained_by(engine, plan_of(lineage, record_at=13, record_optimizer=True))
    assert whole.recorded is not None
    rest = replace(plan_of(lineage), start=whole.recorded, first_step=13, optimizer_state=whole.recorded_optimizer)
    trained = trained_by(engine, rest)
    for name, weights in whole.final.items():
        assert trained.final[name].tobytes() == weights.tobytes(), name


def test_the_whole_test_curve_is_read_only_if_it_is_asked_for(engine: EngineUnderTest) -> None:
    read = [
        [
            point.test is not None
            for point in trained_by(engine, plan_of(lineage_of(engine, test_curve=asked))).curves.points
        ]
        for asked in (True, False)
    ]
    assert all(read[0])
    assert read[1][0]
    assert read[1][-1]
    assert sum(read[1]) <= 3


def test_a_training_that_diverges_says_so(engine: EngineUnderTest) -> None:
    with pytest.raises(NonFiniteError):
        trained_by(engine, plan_of(lineage_of(engine, optimizer="sgd", lr=10.0, weight_decay=1.0, steps=90)))


def test_a_training_that_is_told_to_stop_stops(engine: EngineUnderTest) -> None:
    lineage = lineage_of(engine, steps=2000, eval_every=2000)
    heard: list[int] = []
    pin(1)
    training = engine.start(plan_of(lineage), tiny_data(engine.shape), Pulse(heard.append, lambda: bool(heard[-1])))
    with pytest.raises(LevelCancelled):
        training.advance(2000)
    assert training.step <= engine.stops_within


def test_two_engines_never_share_a_checkpoint() -> None:
    plan = plan_of()
    pin(1)
    begun = start_training(plan, tiny_data(), Pulse(), engine="reference")
    begun.advance(10)
    other = replace(begun.checkpoint(), engine="cpu")
    assert start_training(plan, tiny_data(), Pulse(), engine="reference", checkpoint=other).step == 0


@pytest.mark.parametrize("size", [0, 7, 8, 500])
def test_a_checkpoint_that_is_cut_off_is_refused(engine: EngineUnderTest, size: int) -> None:
    pin(1)
    data = engine.start(plan_of(lineage_of(engine)), tiny_data(engine.shape), Pulse()).checkpoint().to_bytes()
    with pytest.raises(ValueError, match="no checkpoint"):
        Checkpoint.from_bytes(data[:size])
