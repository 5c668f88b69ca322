"""One search from its last committed level to its terminal record: what its driver does, second by second."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

import structlog

from service.settings import Settings
from service.store import clock, keys
from service.store.errors import RedisUnavailable, StoreUnavailable
from service.store.record import Record
from service.store.work import SearchTruth
from workers import ray_session, tune_folder
from workers.adoption import Adopted
from workers.coordinator import Deed, SearchCoordinator
from workers.judging import keep_final_weights, results, status_of
from workers.overlay import Overlay
from workers.patience import persist
from workers.pool_client import PoolClient, PoolLost
from workers.schedulers import Rung
from workers.usage import usage

TICK_S = 0.5
HEARTBEAT_EVERY_S = 1.0
METRICS_EVERY_S = 0.5
RECORD_PATIENCE_S = 600.0
POOL_PATIENCE_S = 90.0
STOP_PATIENCE_S = 25.0
"""How long levels may take to stop before the search ends without them; the pool kills their engines meanwhile."""
MAX_TRIALS = 16


class Abandoned(Exception):  # noqa: N818 - a decision, not an error
    """The driver gives up so that a fresh one is started."""


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
        self._manifests = adopted.manifests
        self._loop = asyncio.get_running_loop()
        self._deeds: asyncio.Queue[Deed] = asyncio.Queue()
        self._coordinator = SearchCoordinator(
            adopted.board,
            tenant=truth.tenant,
            search=truth.id,
            epoch=epoch,
            do=lambda deed: self._later(deed),
            record_rung=self._record_rung,
        )
        steps = {truth.lineage_ids[plan.key]: plan.spec.train.steps for plan in truth.lineages}
        self._overlay = Overlay(steps)
        self._pool = PoolClient(truth.id)
        self._progress: list[dict[str, Any]] = []
        self._level_s: deque[float] = deque(maxlen=64)
        self._num_slots = 1
        self._wish: str | None = truth.log.mode
        self._cut_short: str | None = None
        self._tune: threading.Thread | None = None
        self._tune_error: BaseException | None = None
        self._beat_at_s = self._metrics_at_s = self._stop_at_s = 0.0
        self._log = structlog.get_logger("search")

    async def run(self) -> str:
        """Work until the search has ended; return its final status.

        Raises:
            StaleEpoch: If a later leader took over.
            Abandoned: If the cluster is gone, or Tune ended too early.
        """
        recorder = asyncio.create_task(self._record_deeds())
        try:
            await asyncio.to_thread(self._coordinator.settle)
            if not self._coordinator.is_over() and self._wish is None:
                await self._join_cluster()
            while not self._coordinator.is_over():
                if recorder.done():
                    recorder.result()
                await self._tick()
            await self._deeds.join()
            if recorder.done():
                recorder.result()
            return await self._finish()
        finally:
            recorder.cancel()

    async def _join_cluster(self) -> None:
        await self._emit(f"{self._truth.id}:provisioning", "search.provisioning", {})
        await self._beat()
        await asyncio.to_thread(ray_session.connect, self._settings.ray_address)
        spec = self._truth.lineages[0].spec
        waited_since_s = time.monotonic()
        while True:
            try:
                self._num_slots = await self._pool.call("slots", spec.device_class, spec.threads)
                break
            except PoolLost as error:
                if time.monotonic() - waited_since_s > POOL_PATIENCE_S:
                    raise Abandoned(f"no pool: {error}") from error
                await asyncio.sleep(TICK_S)
        self._tune = threading.Thread(target=self._run_tune, name="tune", daemon=True)
        self._tune.start()

    def _run_tune(self) -> None:
        from workers import tuning

        folder = tune_folder.of(self._truth.id, self._epoch)
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
            if self._tune is not None and not self._tune.is_alive() and not self._coordinator.is_over():
                raise Abandoned(f"Tune ended too early: {self._tune_error!r}")
        await self._tell_metrics()
        await asyncio.sleep(max(0.0, TICK_S - (time.monotonic() - began_s)))

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
        ids = self._truth.lineage_ids
        dense = {plan.dense_key: ids[plan.key] for plan in reversed(self._truth.lineages) if plan.first_level == 0}
        names = {**dense, **ids}
        self._progress = [{**item, "lineage": names[item["key"]]} for item in found if item["key"] in names]

    async def _beat(self) -> None:
        pictures = await asyncio.to_thread(self._coordinator.pictures)
        was_running = self._overlay.is_running
        total = sum(plan.num_levels for plan in self._truth.lineages)
        done = sum(
            max(0, pictures[self._truth.lineage_ids[plan.key]].next_level - plan.first_level)
            for plan in self._truth.lineages
        )
        overlay = self._overlay.paint(
            pictures,
            self._progress,
            usage=self._usage(),
            conditions=self._conditions(),
            level_s=self._level_s,
            num_slots=self._num_slots,
            num_left=total - done,
        )
        try:
            wish = await self._record.heartbeat(self._truth.tenant, self._truth.id, self._epoch, overlay)
        except RedisUnavailable:
            wish = await self._wish_from_store()
        self._wish = wish or self._wish
        if self._overlay.is_running and not was_running:
            await self._emit(f"{self._truth.id}:running", "search.running", {})

    async def _wish_from_store(self) -> str | None:
        try:
            return await self._record.cancel_wish(self._truth.tenant, self._truth.id)
        except (RedisUnavailable, StoreUnavailable):
            return None

    def _conditions(self) -> list[dict[str, Any]]:
        if self._pool.silent_s < 3 * TICK_S + ray_session.CALL_TIMEOUT_S or self._tune is None:
            return []
        at = clock.to_text(clock.now())
        return [{"type": "EnginesReachable", "status": "False", "reason": "NoPool", "message": "waiting", "at": at}]

    def _usage(self) -> dict[str, float]:
        every = (one for levels in self._manifests.values() for one in levels.values())
        return usage(every, self._truth.id)

    def _check_limits(self) -> None:
        budget = self._truth.submission.budget
        if self._wish is not None or self._cut_short is not None:
            return
        age_s = (datetime.now(UTC) - clock.from_text(self._truth.accepted_at)).total_seconds()
        if budget.deadline_s is not None and age_s > budget.deadline_s:
            self._cut_short = "deadline_exceeded"
        elif budget.max_gpu_seconds is not None and self._usage()["gpu_seconds"] > budget.max_gpu_seconds:
            self._cut_short = "budget_exhausted"

    async def _wind_down(self) -> None:
        """Stop as the wish says; end all lineages as soon as nothing of theirs runs any more."""
        mode = "kill" if self._cut_short is not None else self._wish
        self._stop_at_s = self._stop_at_s or time.monotonic()
        await asyncio.to_thread(self._coordinator.set_mode, "drain" if mode == "drain" else "closed")
        if mode == "kill":
            still = await self._stop_levels()
        else:
            await asyncio.to_thread(self._coordinator.settle)
            states = (await asyncio.to_thread(self._coordinator.pictures)).values()
            still = any(picture.state == "running" for picture in states)
        if still and (mode != "kill" or time.monotonic() - self._stop_at_s < STOP_PATIENCE_S):
            return
        if self._cut_short is not None:
            await asyncio.to_thread(self._coordinator.end_all, "stopped", self._cut_short)
        else:
            await asyncio.to_thread(self._coordinator.end_all, "cancelled", "cancelled by the client")

    async def _stop_levels(self) -> bool:
        if self._tune is None:
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
        turn = int(now_s / METRICS_EVERY_S) % len(self._progress)
        item = self._progress[turn]
        lineage, level, step = item["lineage"], item["level"], item["step"]
        await self._emit(f"{lineage}:{level}:metrics:{step}", "level.metrics", {"step": step}, lineage, level)

    def _later(self, deed: Deed) -> None:
        self._loop.call_soon_threadsafe(self._deeds.put_nowait, deed)

    async def _record_deeds(self) -> None:
        while True:
            deed = await self._deeds.get()
            await self._record_deed(deed)
            self._deeds.task_done()

    async def _record_deed(self, deed: Deed) -> None:
        if deed.kind == "end":
            await self._append("outcome", deed.data, f"outcome:{deed.lineage}:{deed.data['status']}")
        elif deed.kind == "committed":
            await self._take_in(deed.data["key"], deed.data["level"], deed.data["busy_s"])
        else:
            suffix = f":{deed.data['attempt']}" if "attempt" in deed.data else f":{deed.data.get('level', '')}"
            await self._emit(
                f"{deed.lineage}:{deed.kind}{suffix.rstrip(':')}", f"lineage.{deed.kind}", deed.data, deed.lineage
            )

    async def _take_in(self, key: str, level: int, busy_s: float) -> None:
        """Read a new manifest, and make sure that the index has it."""
        tenant = self._truth.tenant
        if busy_s:
            self._level_s.append(busy_s)

        async def read() -> dict[int, dict[str, Any]]:
            found: dict[str, Any] = json.loads(await self._record.objects.get(keys.manifest(tenant, key, level)))
            return {level: found}

        found = await persist(read, RECORD_PATIENCE_S)
        self._manifests.setdefault(key, {}).update(found)
        await self._record.announce_level(tenant, self._truth.id, key, found[level], self._epoch)

    def _record_rung(self, rung: Rung) -> None:
        data = rung.to_data()
        work = self._append("rung", data, f"rung:{rung.setting}:{rung.level}")
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _append(self, kind: str, data: dict[str, Any], op_id: str) -> None:
        truth = self._truth

        async def append() -> None:
            await self._record.append(truth.tenant, truth.id, kind, data, op_id, self._epoch)

        await persist(append, RECORD_PATIENCE_S)

    async def _emit(
        self, name: str, kind: str, data: dict[str, Any], lineage: str | None = None, level: int | None = None
    ) -> None:
        truth = self._truth
        await self._record.emit(truth.tenant, truth.id, name, kind, lineage, level, data, self._epoch)

    async def _finish(self) -> str:
        truth, submission = self._truth, self._truth.submission
        pictures = await asyncio.to_thread(self._coordinator.pictures)
        ends = [(picture.state, picture.reason) for picture in pictures.values()]
        found = results(submission.spec, truth.lineages, self._manifests, truth.id)
        best = found["best"]
        if best is not None:
            manifest = self._manifests[best["key"]][best["level"]]
            final = await persist(
                lambda: keep_final_weights(self._record.objects, truth.tenant, manifest), RECORD_PATIENCE_S
            )
            best = {**best, "final": final} if final else best
            found = {**found, "best": best}
            await self._announce_best(best["key"], manifest)
        status, reason = status_of(ends, submission.budget.max_failed_lineages, self._cut_short)
        if self._wish is not None:
            status, reason = "cancelled", "cancelled by the client"

        async def end() -> str:
            sha256 = await self._record.put_results(truth.tenant, truth.id, found)
            terminal = await self._record.finish(truth.tenant, truth.id, status, reason, sha256, self._epoch)
            return terminal.status

        return await persist(end, RECORD_PATIENCE_S)

    async def _announce_best(self, key: str, manifest: dict[str, Any]) -> None:
        level = manifest["core"]["level"]
        lineage = self._truth.lineage_ids[key]
        ticket = self._truth.plan.ticket_id(key, level, manifest["committed_at"])
        core = manifest["core"]
        data = {"ticket": ticket, "density": core["density"], "test_accuracy": core["metrics"]["test_accuracy"]}
        await self._emit(f"{lineage}:{level}:ticket", "ticket.found", data, lineage, level)
