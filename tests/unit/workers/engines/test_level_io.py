"""A level out of the store and back: an engine's way from names of blobs to names of blobs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from lth_core.errors import LevelCancelled
from lth_core.initialisation import glorot_normal
from lth_core.level import train_level
from lth_core.level_task import LevelTask
from lth_core.masks import full_mask, pack_mask
from lth_core.parts import Rewind
from lth_core.pruning import next_mask
from lth_core.treatments import Origin
from lth_core.weights import content_digest, to_safetensors
from service.store import keys
from service.store.errors import ObjectNotFound
from service.store.objects import ObjectStore
from tests.support.tiny import tiny_data, tiny_lineage
from workers.engines.level_io import fetch_task, store_result
from workers.engines.orders import Order
from workers.engines.runner import EngineRunner
from workers.engines.slotted import SlottedEngine

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
        names = {"dense_final": stored["final"]["sha256"], "rewind": stored["rewind"]["sha256"]}
        task = await fetch_task(objects, order(1, **names))
        assert task.mask is None
        assert task.rewind is not None
        for name, array in dense.rewind.items():
            assert np.array_equal(task.rewind[name], array)
        expected = next_mask(lineage, None, dense.final, rewind=dense.rewind, level=0)
        found = train_level(task, tiny_data()).mask
        assert pack_mask(found, lineage.tensors()) == pack_mask(expected, lineage.tensors())

    asyncio.run(story())


def test_final_weights_that_are_not_kept_lie_in_scratch() -> None:
    async def story() -> None:
        objects = ObjectStore.from_url("memory://")
        lineage = tiny_lineage(keep="masks")
        dense = train_level(LevelTask(lineage, 0), tiny_data())
        first = LevelTask(lineage, 1, next_mask(lineage, None, dense.final, rewind=dense.rewind, level=0), dense.rewind)
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
    runner = EngineRunner(SlottedEngine("cpu", 1))
    result = runner.train("1", LevelTask(lineage, 0), tiny_data())
    assert result.core == train_level(LevelTask(lineage, 0), tiny_data()).core
    assert runner.fingerprint(result.engine)["threads"] == 1


def test_a_cancelled_level_leaves_the_slot_free() -> None:
    lineage = tiny_lineage()
    runner = EngineRunner(SlottedEngine("cpu", 1))
    runner.cancel("1")
    with pytest.raises(LevelCancelled):
        runner.train("1", LevelTask(lineage, 0), tiny_data())
    assert runner.train("2", LevelTask(lineage, 0), tiny_data()).core["level"] == 0


def test_everything_that_a_level_starts_from_comes_out_of_the_store_as_it_went_in() -> None:
    async def story() -> None:
        objects = ObjectStore.from_url("memory://")
        lineage = tiny_lineage(rewind_step=7).model_copy(update={"rewind": Rewind(step=7, optimizer="restore")})
        asked = replace(order(0), spec=lineage.model_dump_json())
        dense = train_level(LevelTask(lineage, 0), tiny_data())
        stored = await store_result(objects, asked, lineage, dense)
        assert set(stored) == {"mask", "rewind", "final", "optimizer", "curves"}
        names = {field: stored[blob]["sha256"] for field, blob in (("dense_final", "final"), ("carried", "final"))}
        names.update({name: stored[name]["sha256"] for name in ("rewind", "optimizer")})
        task = await fetch_task(objects, replace(asked, level=1, **names))  # type: ignore[arg-type]
        assert task.carried is not None
        assert task.optimizer is not None
        assert dense.optimizer is not None
        assert content_digest(task.carried) == content_digest(dense.final)
        assert {name: (a.shape, a.tobytes()) for name, a in task.optimizer.items()} == {
            name: (a.shape, a.tobytes()) for name, a in dense.optimizer.items()
        }

    asyncio.run(story())


def test_the_transferred_ticket_is_read_by_the_digests_in_its_lineage() -> None:
    async def story() -> None:
        objects = ObjectStore.from_url("memory://")
        found = tiny_lineage()
        tensors = found.tensors()
        mask, weights = full_mask(tensors), glorot_normal(tensors, 5)
        refs = [await objects.put_blob("local", data) for data in (pack_mask(mask, tensors), to_safetensors(weights))]
        origin = Origin(
            mask_sha256=refs[0].sha256,
            rewind_sha256=refs[1].sha256,
            model=found.model,
            in_shape=found.in_shape,
            num_classes=found.num_classes,
        )
        lineage = tiny_lineage(method="transfer", origin=origin)
        task = await fetch_task(objects, replace(order(0), spec=lineage.model_dump_json()))
        assert task.origin is not None
        assert content_digest(task.origin.weights) == content_digest(weights)

    asyncio.run(story())
