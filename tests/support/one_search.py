"""The life of one search, deed by deed, as a process that a failpoint may end.

Every deed may be repeated, so living it again after a death must come to the same end.
"""

from __future__ import annotations

import asyncio
import os

from service.settings import Settings
from service.store.failpoints import reach
from service.store.record import Record
from tests.support.records import TENANT, commit, lead, register_tiny, submit, tiny_submission


async def live(settings: Settings) -> str:
    """Submit, lead, take over, commit one level, cancel, put results, finish; return the search's id."""
    record = await Record.open(settings, check=False)
    try:
        await register_tiny(record)
        name = (await submit(record, tiny_submission()))[0]["id"]
        epoch = await lead(record)
        await record.recover(epoch)
        await record.take_over(TENANT, name, epoch)
        chain = (await record.load(TENANT, name)).lineages[0]
        await commit(record, name, chain, 0, epoch=epoch)
        reach("FP_AFTER_BLOB")
        await record.cancel(TENANT, name)
        digest = await record.put_results(TENANT, name, {"levels": [], "best": None})
        await record.finish(TENANT, name, "succeeded", None, digest, epoch)
        return name
    finally:
        await record.close()


def live_and_die(settings: Settings, failpoint: str, once: str) -> None:
    """Live in a process of its own, until the failpoint is reached."""
    os.environ.update(LTH_FAILPOINT=failpoint, LTH_FAILPOINT_ONCE=once)
    asyncio.run(live(settings))
