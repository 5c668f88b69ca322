"""The record of searches, assembled: the one door to objects and index for API, dispatcher, drivers and workers."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import Any, Self

from service.settings import Settings
from service.store.api_keys import ApiKeys
from service.store.cluster import ClusterPictures
from service.store.derived import Derived
from service.store.errors import RedisUnavailable, StoreUnavailable
from service.store.events import Bell, Events
from service.store.index import EPOCH, STALE_REFUSED, Index
from service.store.leading import Leading
from service.store.objects import ObjectStore
from service.store.scale import Scaling
from service.store.selftest import self_test
from service.store.submissions import Submissions
from service.store.work import Work

_log = logging.getLogger(__name__)


class Record(Submissions, Derived, Events, ApiKeys, Leading, Work, Scaling, ClusterPictures):
    """Everything the service knows, of which the object store is the truth and Redis an index.

    One per process and event loop; open it with `Record.open` and close it. It works while Redis or the store is
    down as far as that is possible, and raises `RedisUnavailable` or `StoreUnavailable` where it is not.
    """

    def __init__(self, objects: ObjectStore, index: Index, settings: Settings) -> None:
        super().__init__(objects, index, settings)
        self.bell = Bell(index)
        self._late_levels = []
        self._late_logs = {}
        self._log_polled_s = {}
        self._uploads = OrderedDict()

    @classmethod
    async def open(cls, settings: Settings, *, objects: ObjectStore | None = None, check: bool = True) -> Self:
        """Connect, check that both parts are safe to build on, and rebuild an index that is gone.

        Args:
            settings: Where Redis and the objects are.
            objects: An object store to use instead of the settings' own.
            check: Whether to run the start-up self-test; children of a process that ran it may leave it out.

        Raises:
            StoreRefused: If the object store or Redis lacks a property that safety rests on.
        """
        record = cls(objects or ObjectStore.from_url(settings.store_url), Index(settings.redis_url), settings)
        try:
            await record._prepare(check)
        except BaseException:
            await record.close()
            raise
        return record

    async def close(self) -> None:
        """End the background tasks and close all connections."""
        await self.bell.stop()
        await self.vitals.stop()
        await self.index.close()

    async def quota(self, tenant: str) -> dict[str, Any]:
        """Return what a tenant uses of its quota now.

        Raises:
            RedisUnavailable: If Redis does not answer.
        """
        live = await self.index.read_one(
            lambda pipe, own: pipe.zcount(f"{own}quota:{tenant}", time.time() * 1000, "+inf")
        )
        return {"live_searches": int(live), "live_searches_limit": self.settings.quota_live_searches}

    async def figures(self) -> dict[str, int]:
        """Return figures of the control plane: the leader's epoch, stale writes refused, searches that wait.

        Raises:
            RedisUnavailable: If Redis does not answer.
        """
        epoch, refused, waiting = await self.index.read(
            lambda pipe, own: (pipe.get(EPOCH), pipe.get(STALE_REFUSED), pipe.zcard(f"{own}queue"))
        )
        return {
            "leader_epoch": int(epoch or 0),
            "stale_writes_refused": int(refused or 0),
            "queue_depth": int(waiting),
        }

    async def _prepare(self, check: bool) -> None:
        """Check both parts; one that is down is no reason not to start, one that is unsafe is.

        A store that could not be tested takes no write until the background probe has tested it.
        """
        try:
            if check:
                await self_test(self.objects)
        except StoreUnavailable as error:
            self.objects.held = "the object store has not passed its self-test yet"
            _log.warning("starting without the object store: %s", error)
        try:
            await self.index.refuse_unsafe()
            await self.ensure_index()
        except (RedisUnavailable, StoreUnavailable) as error:
            _log.warning("starting without the index: %s", error)
        await self.vitals.probe()
        self.vitals.start()
