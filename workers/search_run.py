"""One search from its last committed level to its terminal record: what its driver does, second by second."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from service.settings import Settings
from service.store import clock
from service.store.errors import RecordError, RedisUnavailable, StaleEpoch
from service.store.record import Record
from service.store.work import SearchTruth
from workers import ray_session, tune_folder
from workers.adoption import Adopted
from workers.board import State
from workers.conclusion import CANCELLED, conclude
from workers.coordinator import SearchCoordinator
from workers.overlay import Overlay
from workers.pool_client import PoolClient, PoolLost
from workers.scribe import Scribe

TICK_S = 0.5
HEARTBEAT_EVERY_S = 1.0
METRICS_EVERY_S = 0.5
POOL_PATIENCE_S = 90.0
"""How long the pool may be silent before the driver gives up for a fresh one."""
STOP_PATIENCE_S = 25.0
"""How long levels may take to stop before the search ends without them; the pool kills their engines meanwhile."""
TUNE_PATIENCE_S = 120.0
"""How long Tune may neither train nor wait for an engine, although the search has not ended."""
MAX_TRIALS = 64
"""Lineages of one search in progress at once."""


class Abandoned(Exception):  # noqa: N818 - a decision, not an error
    """The cluster is gone; a fresh driver is to find the new one."""


class SearchRun:
    """Runs one search.

    Args:
        record: The record, of this loop.
        truth: The search as loaded after it was taken over.
        adopted: Its board and what was committed before.
        epoch: The leader's epoch.
        settings: Of this process.
    """

    def __init__(self, record: Record, truth: SearchTruth, adopted: Adopted, epoch: int, settings: Settings) -> None:
        self._record = record
        self._truth = truth
        self._epoch = epoch
        self._settings = settings
        self._scribe = Scribe(record, truth, epoch, adopted.manifests)
        self._over = asyncio.Event()
        self._coordinator = SearchCoordinator(
            adopted.board,
            tenant=truth.tenant,
            search=truth.id,
            epoch=epoch,
            priority=truth.submission.priority,
            do=self._scribe.later,
            record_rung=self._scribe.record_rung,
            on_over=partial(asyncio.get_running_loop().call_soon_threadsafe, self._over.set),
        )
        ids = truth.lineage_ids
        dense = {plan.dense_key: ids[plan.key] for plan in reversed(truth.lineages) if plan.source_key is None}
        self._lineage_of_key = {**dense, **ids}
        self._overlay = Overlay({ids[plan.key]: plan.spec.train.steps for plan in truth.lineages})
        self._pool = PoolClient(truth.id)
        self._progress: list[dict[str, Any]] = []
        self._num_slots = 1
        self._wish: str | None = truth.log.mode
        self._cut_short: str | None = None
        self._tune: threading.Thread | None = None
        self._tune_error: BaseException | None = None
        self._beat_at_s = self._metrics_at_s = self._stop_at_s = self._moved_at_s = 0.0
        self._log = structlog.get_logger("search")

    async def run(self) -> str:
        """Work until the search has ended; return its final status.

        Raises:
            StaleEpoch: If a later leader took over.
            Abandoned: If the cluster is gone.
            RuntimeError: If Tune ended too early.
        """
        helpers = [asyncio.create_task(self._scribe.write(), name="scribe")]
        try:
            await asyncio.to_thread(self._coordinator.settle)
            if not self._coordinator.is_over() and self._wish is None:
                await self._scribe.emit(f"{self._truth.id}:provisioning", "search.provisioning")
                helpers.append(asyncio.create_task(self._start_trials(), name="trials"))
            while not self._coordinator.is_over():
                self._pass_on_errors(helpers)
                await self._tick()
            written = asyncio.create_task(self._scribe.all_written())
            await asyncio.wait({written, helpers[0]}, return_when=asyncio.FIRST_COMPLETED)
            self._pass_on_errors(helpers[:1])
            return await self._conclude()
        finally:
            for helper in helpers:
                helper.cancel()

    def _pass_on_errors(self, helpers: list[asyncio.Task[None]]) -> None:
        for helper in helpers:
            if helper.done():
                helper.result()

    async def _start_trials(self) -> None:
        """Join the cluster, wait for its pool, and let Tune run in a thread of its own."""
        try:
            await asyncio.to_thread(import_tune)
            await asyncio.to_thread(ray_session.connect, self._settings.ray_address)
        except (ConnectionError, RuntimeError, OSError) as error:
            raise Abandoned(f"cannot join the cluster: {error}") from error
        spec = self._truth.lineages[0].spec
        began_s = time.monotonic()
        while True:
            try:
                self._num_slots = await self._pool.call("slots", spec.device_class, spec.threads)
                break
            except PoolLost as error:
                if time.monotonic() - began_s > POOL_PATIENCE_S:
                    raise Abandoned(f"there is no pool: {error}") from error
                await asyncio.sleep(TICK_S)
        with contextlib.suppress(PoolLost):
            num_levels = min(self._num_slots, len(self._truth.lineages))
            await self._pool.call("prepare", spec.device_class, spec.threads, num_levels)
        self._coordinator.expect_slots(self._num_slots)
        self._tune = threading.Thread(target=self._run_tune, name="tune", daemon=True)
        self._moved_at_s = time.monotonic()
        self._tune.start()

    def _run_tune(self) -> None:
        from workers import tuning

        folder = tune_folder.of(self._settings.home, self._truth.id, self._epoch)
        num_trials = min(MAX_TRIALS, len(self._truth.lineages), self._num_slots + 1)
        try:
            tuning.run(self._coordinator, folder, num_trials)
        except BaseException as error:  # noqa: BLE001 - the edge of the thread: the loop decides
            self._tune_error = error

    async def _tick(self) -> None:
        began_s = time.monotonic()
        await self._look_at_pool()
        if began_s - self._beat_at_s >= HEARTBEAT_EVERY_S:
            self._beat_at_s = began_s
            await self._beat()
        self._check_limits()
        if self._wish is not None or self._cut_short is not None:
            await self._wind_down()
        else:
            await asyncio.to_thread(self._coordinator.settle)
            await self._check_tune()
        await self._tell_metrics()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, TICK_S - (time.monotonic() - began_s))):
                await self._over.wait()

    async def _check_tune(self) -> None:
        if self._tune is None or self._coordinator.is_over():
            return
        if self._tune.is_alive():
            if time.monotonic() - self._moved_at_s > TUNE_PATIENCE_S:
                raise RuntimeError(f"Tune has asked for no level in {TUNE_PATIENCE_S:g} s")
            return
        try:
            await self._pool.call("ping")
        except PoolLost as error:
            raise Abandoned(f"Tune and the pool are gone: {error}") from error
        raise RuntimeError(f"Tune ended too early: {self._tune_error!r}")

    async def _look_at_pool(self) -> None:
        if self._tune is None:
            return
        try:
            found = await self._pool.call("attend", self._truth.id)
        except PoolLost as error:
            self._progress = []
            if self._pool.silent_s > POOL_PATIENCE_S:
                raise Abandoned(f"the pool is gone: {error}") from error
            return
        known, levels = self._lineage_of_key, found["levels"]
        self._progress = [{**item, "lineage": known[item["key"]]} for item in levels if item["key"] in known]
        if levels or found["num_waiting"]:
            self._moved_at_s = time.monotonic()
            self._coordinator.heard_of_trials()

    async def _beat(self) -> None:
        """Show what runs, and hear whether a client wants the search cancelled."""
        pictures = await asyncio.to_thread(self._coordinator.pictures)
        ids = self._truth.lineage_ids
        done = [max(0, pictures[ids[plan.key]].next_level - plan.first_level) for plan in self._truth.lineages]
        was_running = self._overlay.is_running
        overlay = self._overlay.paint(
            pictures,
            self._progress,
            usage=self._scribe.usage(),
            conditions=self._conditions(),
            level_s=self._scribe.level_s,
            num_slots=self._num_slots,
            num_left=sum(plan.num_levels for plan in self._truth.lineages) - sum(done),
        )
        try:
            wish = await self._record.heartbeat(self._truth.tenant, self._truth.id, self._epoch, overlay)
        except RedisUnavailable:
            wish = await self._wish_in_store()
        self._wish = wish or self._wish
        if self._overlay.is_running and not was_running:
            await self._scribe.emit(f"{self._truth.id}:running", "search.running")

    async def _wish_in_store(self) -> str | None:
        try:
            return await self._record.cancel_wish(self._truth.tenant, self._truth.id)
        except StaleEpoch:
            raise
        except RecordError:
            return None

    def _conditions(self) -> list[dict[str, Any]]:
        if self._tune is None or self._pool.silent_s < 2 * ray_session.CALL_TIMEOUT_S:
            return []
        at, message = clock.to_text(clock.now()), "no engine host answers"
        return [{"type": "EnginesReachable", "status": "False", "reason": "NoPool", "message": message, "at": at}]

    def _check_limits(self) -> None:
        budget = self._truth.submission.budget
        if self._wish is not None or self._cut_short is not None:
            return
        age_s = (datetime.now(UTC) - clock.from_text(self._truth.accepted_at)).total_seconds()
        if budget.deadline_s is not None and age_s > budget.deadline_s:
            self._cut_short = "deadline_exceeded"
        elif budget.max_gpu_seconds is not None and self._scribe.usage()["gpu_seconds"] > budget.max_gpu_seconds:
            self._cut_short = "budget_exhausted"

    async def _wind_down(self) -> None:
        """Stop as the wish says; end all lineages as soon as nothing of theirs runs any more."""
        mode = "kill" if self._cut_short is not None else self._wish
        self._stop_at_s = self._stop_at_s or time.monotonic()
        await asyncio.to_thread(self._coordinator.set_mode, "drain" if mode == "drain" else "closed")
        if await self._still_runs(kill=mode == "kill"):
            return
        status: State = "stopped" if self._cut_short else "cancelled"
        reason = self._cut_short or CANCELLED
        await asyncio.to_thread(self._coordinator.end_all, status, reason)

    async def _still_runs(self, *, kill: bool) -> bool:
        if self._tune is None:
            return False
        if not kill:
            await asyncio.to_thread(self._coordinator.settle)
            pictures = await asyncio.to_thread(self._coordinator.pictures)
            return any(picture.state == "running" for picture in pictures.values())
        if time.monotonic() - self._stop_at_s > STOP_PATIENCE_S:
            return False
        try:
            return bool(await self._pool.call("stop", self._truth.id))
        except PoolLost:
            return True

    async def _tell_metrics(self) -> None:
        """Tell the progress of the level whose turn it is, at most twice a second."""
        now_s = time.monotonic()
        if not self._progress or now_s - self._metrics_at_s < METRICS_EVERY_S:
            return
        self._metrics_at_s = now_s
        item = self._progress[int(now_s / METRICS_EVERY_S) % len(self._progress)]
        lineage, level, step = item["lineage"], item["level"], item["step"]
        await self._scribe.emit(f"{lineage}:{level}:metrics:{step}", "level.metrics", {"step": step}, lineage, level)

    async def _conclude(self) -> str:
        pictures = await asyncio.to_thread(self._coordinator.pictures)
        return await conclude(
            self._record,
            self._truth,
            self._scribe,
            [(picture.state, picture.reason) for picture in pictures.values()],
            epoch=self._epoch,
            cut_short=self._cut_short,
            is_cancelled=self._wish is not None,
        )


def import_tune() -> None:
    """Load Tune, which takes seconds, while something else is waited for."""
    importlib.import_module("workers.tuning")
