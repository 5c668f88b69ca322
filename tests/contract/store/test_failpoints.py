"""A process may die after every step of the protocol; whoever repeats it comes to one search with one end."""

from __future__ import annotations

import json
import multiprocessing
import signal
from pathlib import Path

import pytest

from service.settings import Settings
from service.store import keys
from service.store.failpoints import NAMES
from service.store.log import fold
from service.store.objects import ObjectStore
from service.store.rebuild import dump
from service.store.record import Record
from tests.support.one_search import live, live_and_die
from tests.support.records import TENANT

pytestmark = pytest.mark.anyio


async def forget_the_dead_leader(settings: Settings) -> None:
    """Do what time does: let the lease of the killed process lapse."""
    record = await Record.open(settings, check=False)
    async with record.index.guarded() as redis:
        await redis.delete("lth:lease")
    await record.close()


@pytest.mark.parametrize("name", sorted(NAMES))
async def test_a_death_after_this_step_loses_and_doubles_nothing(name: str, settings: Settings, tmp_path: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.support.one_search"])
    child = processes.Process(target=live_and_die, args=(settings, name, str(tmp_path / "fired")))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    await forget_the_dead_leader(settings)

    search_id = await live(settings)

    objects = ObjectStore.from_url(settings.store_url)
    specs = [key for key in await objects.list("searches/") if key.endswith("/spec.json")]
    assert specs == [keys.spec(TENANT, search_id)]
    assert len(await objects.list("claims/")) == 1
    assert len([key for key in await objects.list("lineages/") if key.endswith("/L000.json")]) == 1
    record = await Record.open(settings, check=False)
    try:
        records = await record.logbook.read(TENANT, search_id)
        terminals = [one for one in records if one.type == "terminal"]
        assert len(terminals) == 1
        assert fold(records).terminal is not None
        assert (await record.search(TENANT, search_id))["status"] == "cancelled"
        assert (await record.quota(TENANT))["live_searches"] == 0
        before = await dump(record.index)
        await record.rebuild()
        assert await dump(record.index) == before
    finally:
        await record.close()
    assert json.loads(await objects.get(specs[0]))["id"] == search_id
