"""A level out of the store and back: an engine's way from names of blobs to names of blobs."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from lth_core.errors import LevelCancelled
from lth_core.level import LevelTask, train_level
from lth_core.masks import pack_mask
from lth_core.pruning import next_mask
from service.store import keys
from service.store.errors import ObjectNotFound
from service.store.objects import ObjectStore
from tests.support.tiny import tiny_data, tiny_lineage
from workers.engines.level_io import fetch_task, store_result
from workers.engines.orders import Order
from workers.engines.reference import ReferenceEngine
from workers.engines.runner import EngineRunner

KEY = "ab" * 32


def order(level: int, **names: str) -> Order:
    """One level of the tiny lineage."""
    lineage = tiny_lineage(keep="masks")
    return Order("local", "srch", "lin", KEY, level, lineage.model_dump_json(), "cpu", 1, 30, **names)  # type: ignore[arg-type]


def test_the_first_mask_follows_from_the_dense_networks_weights() -> None:
    async def story() -> None:
        objects = ObjectStore.from_url("memory://")
        lineage = tiny_lineage(keep="masks")
        dense = train_level(LevelTask(lineage, 0), tiny_data())
        stored = await store_result(objects, order(0), lineage, dense)
        assert set(stored) == {"mask", "rewind", "final", "curves"}
        names = {"final": stored["final"]["sha256"], "rewind": stored["rewind"]["sha256"]}
        task = await fetch_task(objects, order(1, **names))
        assert task.mask is not None
        assert task.rewind is not None
        expected = next_mask(lineage, None, dense.final)
        assert pack_mask(task.mask, lineage.tensors()) == pack_mask(expected, lineage.tensors())
        for name, array in dense.rewind.items():
            assert np.array_equal(task.rewind[name], array)

    asyncio.run(story())


def test_final_weights_that_are_not_kept_lie_in_scratch() -> None:
    async def story() -> None:
        objects = ObjectStore.from_url("memory://")
        lineage = tiny_lineage(keep="masks")
        dense = train_level(LevelTask(lineage, 0), tiny_data())
        first = LevelTask(lineage, 1, next_mask(lineage, None, dense.final), dense.rewind)
        stored = await store_result(objects, order(1), lineage, train_level(first, tiny_data()))
        assert set(stored) == {"mask", "next_mask", "curves"}
        assert await objects.get(keys.scratch_final("local", KEY, 1))

    asyncio.run(story())


def test_a_blob_that_is_gone_is_said_to_be_gone() -> None:
    objects = ObjectStore.from_url("memory://")
    with pytest.raises(ObjectNotFound):
        asyncio.run(fetch_task(objects, order(2, mask="cd" * 32, rewind="ef" * 32)))


def test_the_engine_trains_exactly_what_the_science_says() -> None:
    lineage = tiny_lineage()
    runner = EngineRunner(ReferenceEngine("cpu", 1))
    result = runner.train("1", LevelTask(lineage, 0), tiny_data())
    assert result.core == train_level(LevelTask(lineage, 0), tiny_data()).core
    assert runner.fingerprint()["threads"] == 1


def test_a_cancelled_level_leaves_the_slot_free() -> None:
    lineage = tiny_lineage()
    runner = EngineRunner(ReferenceEngine("cpu", 1))
    runner.cancel("1")
    with pytest.raises(LevelCancelled):
        runner.train("1", LevelTask(lineage, 0), tiny_data())
    assert runner.train("2", LevelTask(lineage, 0), tiny_data()).core["level"] == 0
