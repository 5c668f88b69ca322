"""What the leader does while it leads: keeps the cluster up, gives searches to drivers, settles what has none."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

import structlog

from service.local import reaper
from service.local.processes import kill_tagged
from service.settings import Settings
from service.store.errors import RecordError, RedisUnavailable, StaleEpoch, UnknownDataset
from service.store.lease import Lease
from service.store.record import Record
from workers import ray_session, tune_folder
from workers.backoff import Backoff
from workers.children import Child, module, spawn
from workers.fleet import Fleet, SearchName
from workers.ray_local import LocalRay, home_id, make_token
from workers.spare import Spare

TICK_S = 0.25
PAUSE_S = 1.0
"""Pause while Redis or the store is down."""
RECONCILE_EVERY_S = 30.0
RAY_START_TIMEOUT_S = 120.0
ENGINE_HOST = "workers.engine_host"
"""Module of the process that owns pool and engines."""


class Reign:
    """One term of leadership.

    A reaper of its own ends what a killed leader leaves, also what can no longer be found by its environment.

    Args:
        record: The record.
        lease: The leadership, whose epoch all children inherit.
        settings: Of this process.
    """

    def __init__(self, record: Record, lease: Lease, settings: Settings) -> None:
        self._record = record
        self._lease = lease
        self._settings = settings
        self._tag = f"LTH_CLUSTER={home_id(settings.home)}"
        self._own_tag = f"LTH_REIGN={home_id(settings.home)}:{lease.epoch}"
        self._reaper: subprocess.Popen[bytes] | None = None
        self._env = self._environment()
        self._ray = None if settings.ray_address else LocalRay(settings, self._env)
        self._ray_child: Child | None = None
        self._spare = Spare(self._spawn_driver)
        self._fleet = Fleet(settings.max_drivers, self._start_driver)
        self._helpers: dict[str, Child] = {}
        self._backoffs: dict[str, Backoff] = {}
        self._open: list[SearchName] = []
        self._reconciled_at_s = float("-inf")
        self._has_digits = False
        self._log = structlog.get_logger("dispatcher")

    async def run(self) -> None:
        """Recover, then tend everything until cancelled, or until leading is no longer allowed.

        A leader that was stopped and wakes up looks at its lease before it starts anything: what it started would fight
        with its successor's.

        Raises:
            StaleEpoch: If a later leader has been seen.
        """
        self._reaper = reaper.start(self._own_tag, os.environ)
        await asyncio.to_thread(kill_tagged, self._tag)
        shutil.rmtree(tune_folder.root(self._settings.home), ignore_errors=True)
        while True:
            try:
                await self._record.recover(self._lease.epoch)
                break
            except StaleEpoch:
                raise
            except RecordError as error:
                self._log.warning("cannot recover yet", error=str(error))
                await asyncio.sleep(PAUSE_S)
        while self._lease.ok():
            try:
                await self._tend()
            except StaleEpoch:
                raise
            except RecordError as error:
                self._log.warning("the record is not available", error=str(error))
                await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(TICK_S)

    def end(self) -> None:
        """Kill all children, at once."""
        self._fleet.kill_all()
        self._spare.kill()
        for child in [*self._helpers.values(), *filter(None, [self._ray_child])]:
            child.kill()
        kill_tagged(self._tag)
        if self._ray is not None:
            self._ray.clean()
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.close()
            self._reaper.wait()

    async def _tend(self) -> None:
        await self._tend_cluster()
        await self._reap_drivers()
        self._reap_helpers()
        if time.monotonic() - self._reconciled_at_s >= RECONCILE_EVERY_S:
            await self._reconcile()
        queued = await self._record.queued()
        await self._settle_cancelled()
        if self._has_cluster:
            self._fleet.launch(dict.fromkeys([*self._open, *queued]))
        if self._ray is None or self._ray.is_ready:
            self._spare.keep()
        await self._tend_helpers()

    @property
    def _has_cluster(self) -> bool:
        """Whether there is a cluster to join; children wait by themselves for one that is still starting."""
        return self._ray is None or self._ray_child is not None

    async def _tend_cluster(self) -> None:
        if self._ray is not None and not await self._tend_ray(self._ray):
            return
        if "engine_host" not in self._helpers:
            self._start_helper("engine_host", module(ENGINE_HOST))

    async def _tend_ray(self, cluster: LocalRay) -> bool:
        """Keep the local cluster alive; when it dies, everything on it is started anew."""
        child = self._ray_child
        if child is not None and child.exit_code is None:
            late = not cluster.is_ready and time.monotonic() - child.started_at_s > RAY_START_TIMEOUT_S
            if not late and not cluster.is_damaged:
                return True
        if child is not None:
            self._log.warning("ray ended", code=child.exit_code)
            self._fleet.kill_all()
            self._spare.kill()
            host = self._helpers.pop("engine_host", None)
            for dead in filter(None, [host, child]):
                dead.kill()
            await asyncio.to_thread(kill_tagged, cluster.tag)
            self._backoff("ray").died(time.monotonic() - child.started_at_s)
            self._ray_child = None
        if not self._backoff("ray").is_over:
            return False
        self._ray_child = cluster.start()
        self._log.info("ray starts", address=cluster.address, pid=self._ray_child.process.pid)
        return True

    async def _reap_drivers(self) -> None:
        for name, code, lived_s in self._fleet.reap():
            tenant, search_id = name
            if code == 0:
                self._forget(name)
                continue
            document = await self._record.search(tenant, search_id)
            if document["status"] in ("succeeded", "partial", "failed", "cancelled"):
                self._forget(name)
                continue
            self._log.warning("driver died", search=search_id, code=code)
            if name not in self._open:
                self._open.append(name)
            if self._fleet.crashed(name, code, lived_s, document["progress"]["levels_done"]):
                reason = f"its driver crashed again and again without progress, last with exit code {code}"
                await self._record.finish(tenant, search_id, "failed", reason, None, self._lease.epoch)
                self._forget(name)

    def _forget(self, name: SearchName) -> None:
        self._fleet.ended(name)
        if name in self._open:
            self._open.remove(name)

    async def _reconcile(self) -> None:
        """Look into the store for what the index may have lost."""
        self._open = await self._record.open_searches()
        self._reconciled_at_s = time.monotonic()

    async def _settle_cancelled(self) -> None:
        """End searches that a client cancelled and that no driver works on."""
        for name in await self._record.cancelling():
            if name in self._fleet.drivers:
                continue
            tenant, search_id = name
            await self._record.finish(tenant, search_id, "cancelled", None, None, self._lease.epoch)
            self._log.info("cancelled without a driver", search=search_id)
            self._forget(name)

    def _reap_helpers(self) -> None:
        for name, child in list(self._helpers.items()):
            code = child.exit_code
            if code is None:
                continue
            child.kill()
            del self._helpers[name]
            if code != 0 or name == "engine_host":
                pause_s = self._backoff(name).died(time.monotonic() - child.started_at_s)
                self._log.warning("helper died", name=name, code=code, pause_s=pause_s)

    async def _tend_helpers(self) -> None:
        if not self._has_digits and "digits" not in self._helpers:
            try:
                await self._record.dataset("digits")
                self._has_digits = True
            except UnknownDataset:
                self._start_helper("digits", module("workers.data", "add", "digits"))
        try:
            waiting = await self._record.num_derived_waiting()
        except RedisUnavailable:
            return
        if waiting and "derive" not in self._helpers:
            self._start_helper("derive", module("workers.derive"))

    def _start_helper(self, name: str, argv: list[str]) -> None:
        if not self._backoff(name).is_over:
            return
        self._helpers[name] = spawn(name, argv, self._child_environment(), self._log_file(name))
        self._log.info("helper starts", name=name, pid=self._helpers[name].process.pid)

    def _start_driver(self, name: SearchName) -> Child:
        tenant, search_id = name
        child = self._spare.give(f"{tenant}/{search_id}")
        self._log.info("driver starts", search=search_id, pid=child.process.pid)
        return child

    def _spawn_driver(self) -> Child:
        """Start a driver that waits for its search."""
        return spawn("driver", module("workers.driver"), self._child_environment(), self._log_file("driver"))

    def _environment(self) -> dict[str, str]:
        """What all children share; a remote cluster's own authentication settings are left as they are."""
        tags = dict(tag.split("=", 1) for tag in (self._tag, self._own_tag))
        env = {**os.environ, **tags, "PYTHONUNBUFFERED": "1"}
        if not self._settings.ray_address:
            token = make_token(self._settings.home / "run" / "ray.token")
            env |= ray_session.environment(str(token), loopback=True)
        return env

    def _child_environment(self) -> dict[str, str]:
        """What a driver or a helper that starts now needs to write under this leader and to join the cluster."""
        own = self._env | {"LTH_EPOCH": str(self._lease.epoch)}
        if self._ray is None:
            return own | {"LTH_RAY_ADDRESS": self._settings.ray_address}
        return own | {"LTH_RAY_ADDRESS": self._ray.address, ray_session.READY_FILE: str(self._ray.ready_file)}

    def _log_file(self, name: str) -> Path:
        return self._settings.home / "logs" / f"{name}.log"

    def _backoff(self, name: str) -> Backoff:
        return self._backoffs.setdefault(name, Backoff())
