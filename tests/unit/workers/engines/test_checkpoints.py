"""A level outlives its engine: it goes on from its last checkpoint, to the bits it would have had."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from lth_core.engines.checkpoint import Checkpoint
from lth_core.level import train_level
from lth_core.level_task import LevelTask
from service.store import keys
from service.store.objects import ObjectStore
from tests.support.tiny import tiny_data, tiny_lineage
from workers.bridge import Bridge
from workers.engines.checkpoints import Checkpoints, environment_of
from workers.engines.orders import Order
from workers.engines.runner import EngineRunner
from workers.engines.slotted import SlottedEngine

KEY, HERE, ELSEWHERE = "ab" * 32, "cd" * 32, "ef" * 32
ORDER = Order("local", "srch_x", "lin_x", KEY, 0, tiny_lineage().model_dump_json(), "cpu", 1, 30)
TASK = LevelTask(tiny_lineage(), 0)


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    """A loop for the store."""
    bridge = Bridge("test")
    yield bridge
    bridge.close()


def checkpoints_of(task: LevelTask) -> list[Checkpoint]:
    """Every border between two segments of a level, cut as short as the engine cuts them."""
    engine, found = SlottedEngine("cpu", 1), []
    engine.admit("1", task, tiny_data())
    while not engine.collect():
        engine.run()
        kept = engine.checkpoint("1")
        if kept is not None:
            found.append(kept)
    return found


def test_a_level_is_cut_into_segments_and_goes_on_from_any_of_them() -> None:
    whole = train_level(TASK, tiny_data())
    found = checkpoints_of(TASK)
    assert found
    for kept in found:
        result = EngineRunner(SlottedEngine("cpu", 1)).train("1", TASK, tiny_data(), kept)
        assert result.core == whole.core
        assert result.resumed_at == kept.step > 0
    assert whole.resumed_at is None


def test_a_runner_tells_of_every_level_that_trains_for_long() -> None:
    heard: list[tuple[str, int]] = []
    runner = EngineRunner(SlottedEngine("cpu", 1), lambda slot, kept: heard.append((slot, kept.step)), every_s=0.0)
    for slot in ("1", "2"):
        runner.train(slot, TASK, tiny_data())
    assert {slot for slot, _ in heard} == {"1", "2"}
    assert all(0 < step < 30 for _, step in heard)


def test_a_checkpoint_is_found_again_in_its_own_environment_only(bridge: Bridge) -> None:
    objects = ObjectStore.from_url("memory://")
    kept = checkpoints_of(TASK)[-1]
    here = Checkpoints(objects, bridge, HERE)
    with here.of("1", ORDER) as nothing:
        assert nothing is None
        here.write("1", kept)
        here._writing["1"].result(timeout=10)
    with here.of("2", ORDER) as found:
        assert found is not None
        assert found.to_bytes() == kept.to_bytes()
    with Checkpoints(objects, bridge, ELSEWHERE).of("3", ORDER) as nothing:
        assert nothing is None


def test_a_level_that_has_left_its_engine_writes_nothing_more(bridge: Bridge) -> None:
    objects = ObjectStore.from_url("memory://")
    here = Checkpoints(objects, bridge, HERE)
    with here.of("1", ORDER):
        pass
    here.write("1", checkpoints_of(TASK)[-1])
    with here.of("2", ORDER) as nothing:
        assert nothing is None


def test_a_damaged_checkpoint_is_done_without(bridge: Bridge) -> None:
    objects = ObjectStore.from_url("memory://")
    data = checkpoints_of(TASK)[-1].to_bytes()
    asyncio.run(objects.overwrite(keys.scratch_checkpoint("local", KEY, 0, HERE), data[: len(data) // 2]))
    with Checkpoints(objects, bridge, HERE).of("1", ORDER) as found:
        assert found is None


def test_threads_are_part_of_the_environment() -> None:
    assert environment_of("cpu", 1) != environment_of("cpu", 2)
    assert environment_of("cpu", 1) == environment_of("cpu", 1)
