"""Levels side by side: packed ones in lockstep, the others in turn, and none whose bits know of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lth_core.engines.checkpoint import Checkpoint
from lth_core.errors import LevelCancelled, NonFiniteError, UserError
from lth_core.expansion import LineageSpec
from lth_core.initialisation import glorot_normal
from lth_core.level import LevelResult, train_level
from lth_core.level_slots import Ended, LevelSlots
from lth_core.level_task import LevelTask
from tests.contract.engines.plans import random_mask
from tests.support.tiny import tiny_data, tiny_lineage

PACKED = tiny_lineage(train={"steps": 600, "eval_every": 200}, engine="pack")
DENSE = LevelTask(PACKED, 0)


def packed(replicate: int, **more: object) -> LineageSpec:
    """A lineage that trains in lockstep with others of its shape."""
    return PACKED.model_copy(update={"replicate": replicate, **more})


def sparse(lineage: LineageSpec, density: float) -> LevelTask:
    """A second level of a lineage under a made-up mask."""
    weights = glorot_normal(lineage.tensors(), lineage.replicate)
    return LevelTask(lineage, 2, mask=random_mask(lineage, density), rewind=weights)


def run_all(slots: LevelSlots) -> dict[str, Ended]:
    """Run until every slot is free."""
    found: dict[str, Ended] = {}
    while slots.progress():
        slots.run()
        found |= {ended.slot: ended for ended in slots.collect()}
    return found


def results(found: Mapping[str, Ended]) -> dict[str, LevelResult]:
    """What the levels left behind; none may have failed."""
    assert [ended.error for ended in found.values()] == [None] * len(found)
    return {name: ended.result for name, ended in found.items() if ended.result is not None}


def test_levels_of_all_engines_train_side_by_side_to_the_bits_they_have_alone() -> None:
    tasks = {
        "dense": DENSE,
        "other replicate": LevelTask(packed(1), 0),
        "sparse": sparse(packed(0), 0.3),
        "native": LevelTask(packed(0, engine="auto"), 0),
        "reference": LevelTask(packed(0, engine="reference"), 0),
        "other shape": LevelTask(tiny_lineage(train={"batch_size": 7}, engine="pack"), 0),
    }
    slots = LevelSlots(8)
    for name, task in tasks.items():
        slots.admit(name, task, tiny_data())
    found = results(run_all(slots))
    kinds = {name: result.engine for name, result in found.items()}
    assert kinds | {"native": "", "reference": ""} == dict.fromkeys(tasks, "pack") | {"native": "", "reference": ""}
    assert kinds["reference"] == "reference"
    assert {name: result.core for name, result in found.items()} == {
        name: train_level(task, tiny_data()).core for name, task in tasks.items()
    }


@pytest.mark.parametrize("admitted_after", [0, 1, 2])
def test_a_level_that_is_admitted_late_has_the_bits_of_one_that_was_there_from_the_start(admitted_after: int) -> None:
    slots = LevelSlots(3)
    slots.admit("before", LevelTask(packed(5), 0), tiny_data())
    for _ in range(admitted_after):
        slots.run()
    slots.admit("late", DENSE, tiny_data())
    assert results(run_all(slots))["late"].core == train_level(DENSE, tiny_data()).core


def test_a_killed_pack_goes_on_from_its_checkpoints_and_says_where() -> None:
    tasks = {"dense": DENSE, "sparse": sparse(packed(1), 0.4)}
    killed = LevelSlots(2)
    for name, task in tasks.items():
        killed.admit(name, task, tiny_data())
    killed.run()
    kept = {name: killed.checkpoint(name) for name in tasks}
    slots = LevelSlots(4)
    for name, task in tasks.items():
        checkpoint = kept[name]
        assert checkpoint is not None
        slots.admit(name, task, tiny_data(), Checkpoint.from_bytes(checkpoint.to_bytes()))
    found = results(run_all(slots))
    for name, task in tasks.items():
        assert found[name].core == train_level(task, tiny_data()).core
        assert found[name].resumed_at == kept[name].step > 0  # type: ignore[union-attr]


def test_a_checkpoint_of_another_level_is_left_aside() -> None:
    killed = LevelSlots(1)
    killed.admit("1", LevelTask(packed(1), 0), tiny_data())
    killed.run()
    slots = LevelSlots(1)
    slots.admit("1", DENSE, tiny_data(), killed.checkpoint("1"))
    result = results(run_all(slots))["1"]
    assert result.resumed_at is None
    assert result.core == train_level(DENSE, tiny_data()).core


@pytest.mark.parametrize("engine", ["pack", "reference"])
def test_a_cancelled_level_ends_and_its_neighbours_go_on(engine: str) -> None:
    slots = LevelSlots(2)
    endless = packed(3, engine=engine, train=PACKED.train.model_copy(update={"steps": 1_000_000}))
    slots.admit("endless", LevelTask(endless, 0), tiny_data())
    slots.admit("dense", DENSE, tiny_data())
    slots.run()
    slots.cancel("endless")
    slots.cancel("unknown")
    found = run_all(slots)
    assert isinstance(found["endless"].error, LevelCancelled)
    assert found["dense"].result is not None
    assert found["dense"].result.core == train_level(DENSE, tiny_data()).core


def test_a_level_that_is_cancelled_before_it_has_begun_ends_too() -> None:
    slots = LevelSlots(1)
    slots.admit("1", DENSE, tiny_data())
    slots.cancel("1")
    assert isinstance(run_all(slots)["1"].error, LevelCancelled)


def test_what_a_level_raises_is_its_own_outcome() -> None:
    recipe = PACKED.train.model_copy(update={"optimizer": "sgd", "lr": 10.0, "weight_decay": 1.0})
    slots = LevelSlots(3)
    slots.admit("diverges", LevelTask(packed(0, train=recipe), 0), tiny_data())
    slots.admit("does not fit", LevelTask(packed(0, dataset_digest="0" * 64), 0), tiny_data())
    slots.admit("dense", DENSE, tiny_data())
    found = run_all(slots)
    assert isinstance(found["diverges"].error, NonFiniteError)
    assert isinstance(found["does not fit"].error, UserError)
    assert found["dense"].error is None


def test_a_level_beyond_the_slots_is_refused_by_name() -> None:
    slots = LevelSlots(1)
    slots.admit("first", DENSE, tiny_data())
    with pytest.raises(RuntimeError, match="all 1 slots are taken by first"):
        slots.admit("second", DENSE, tiny_data())
    with pytest.raises(ValueError, match="num_slots must be >= 1, got 0"):
        LevelSlots(0)
