"""The Tune trial: a thin client that carries one lineage on, one level per Tune step. It never imports torch."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import asdict
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError

from lth_core.inputs import inputs_of
from lth_core.manifest import build_manifest, complete_core
from lth_core.starts import start_document
from service.settings import Settings
from service.store import clock
from service.store.errors import ArtefactCorrupt, RecordError, StaleEpoch
from service.store.record import Record
from workers.bridge import Bridge
from workers.chains import BrokenChain, check, parent_of
from workers.crew import first_line
from workers.engines.orders import Admission, Failure, Order, Reply, Trained
from workers.patience import persist
from workers.pool import NAME as POOL
from workers.ray_session import CALL_TIMEOUT_S, NAMESPACE
from workers.trial_task import TrialTask

COMMIT_PATIENCE_S = 300.0
"""How long a trained level waits for a store that is down before its training is lost."""


class LevelFailed(Exception):  # noqa: N818 - carries the classified failure out of a level
    """A level was not committed; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class LineageTrial(tune.Trainable):
    """Trial = lineage, step = level. What went wrong is reported, so that the process can be used again."""

    def setup(self, config: dict[str, Any]) -> None:
        """Open the record once per process; the process outlives many lineages."""
        self._bridge = Bridge("record")
        self._record = self._bridge.call(Record.open(Settings(), check=False))
        self._code = f"lottery-ticket-search {importlib.metadata.version('lottery-ticket-search')}"
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Turn to another lineage."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Carry the lineage one level further."""
        try:
            return self._step()
        except LevelFailed as error:
            failure = error.failure
        except (ArtefactCorrupt, BrokenChain) as error:
            failure = Failure("divergence", str(error))
        except StaleEpoch as error:
            failure = Failure("infra", f"overtaken: {error}", blamed=False)
        except RecordError as error:
            failure = Failure("infra", f"{type(error).__name__}: {error}", blamed=False)
        except (RayError, ValueError) as error:
            failure = Failure("infra", f"no engine: {first_line(error)}", blamed=False)
        return {"lineage": self._task.lineage, "failure": json.dumps(asdict(failure)), "done": True}

    def cleanup(self) -> None:
        """Close the record."""
        self._bridge.call(self._record.close(), timeout_s=5)
        self._bridge.close()

    def _begin(self, config: dict[str, Any]) -> None:
        self._task = TrialTask.from_config(config)
        self._plan = self._task.plan()
        self._manifests: dict[str, dict[int, dict[str, Any]]] = {}

    def _step(self) -> dict[str, Any]:
        if not self._manifests:
            for key in dict.fromkeys((self._task.dense_key, self._task.key)):
                self._read(key)
        level = self._next_level()
        key = self._plan.key_of_level(level)
        standing = self._manifests[key].get(level)
        if standing is None:
            standing, busy_s, how = self._train(level)
        else:
            busy_s, how = 0.0, "adopted"
        self._manifests[key][level] = standing
        core = standing["core"]
        return {
            "lineage": self._task.lineage,
            "level": level,
            "how": how,
            "val_accuracy": core["metrics"]["val_accuracy"],
            "collapsed": core["collapsed"],
            "density": core["density"],
            "busy_s": busy_s,
            "done": False,
        }

    def _read(self, key: str) -> None:
        task = self._task
        self._manifests[key] = self._bridge.call(
            persist(lambda: self._record.manifests(task.tenant, key), COMMIT_PATIENCE_S)
        )

    def _next_level(self) -> int:
        """The first level that is not committed; what stands before it is verified."""
        level = self._plan.first_level
        while True:
            manifest = self._manifests[self._plan.key_of_level(level)].get(level)
            if manifest is None or level == self._plan.first_level + self._plan.num_levels - 1:
                return level
            check(self._plan, level, manifest, self._manifests)
            level += 1

    def _train(self, level: int) -> tuple[dict[str, Any], float, str]:
        order = self._order(level)
        parent = parent_of(self._plan, level, self._manifests)
        source = self._source(level)
        trained = self._ask_for(order)
        key = self._plan.key_of_level(level)
        core = complete_core(trained.core, key=key, parent=parent, mask_from=source["core_sha256"] if source else None)
        manifest = build_manifest(
            core,
            trained.stored,
            start=start_document(self._plan.spec, level),
            epoch=self._task.epoch,
            attempt=self._task.attempt,
            search=self._task.search,
            started_at=trained.started_at,
            committed_at=clock.to_text(clock.now()),
            fingerprint=trained.fingerprint,
            engine=trained.engine,
            code=self._code,
            resumed_at=trained.resumed_at,
        )
        standing, how = self._commit(key, level, manifest)
        if how == "divergent" and standing["fingerprint_sha256"] == manifest["fingerprint_sha256"]:
            raise LevelFailed(Failure("divergence", f"level {level} was computed again to other bits"))
        return standing, trained.busy_s, how

    def _commit(self, key: str, level: int, manifest: dict[str, Any]) -> tuple[dict[str, Any], str]:
        task = self._task

        async def commit() -> tuple[dict[str, Any], str]:
            return await self._record.commit_level(task.tenant, task.search, key, level, manifest, task.epoch)

        return self._bridge.call(persist(commit, COMMIT_PATIENCE_S))

    def _order(self, level: int) -> Order:
        task, spec = self._task, self._plan.spec
        return Order(
            tenant=task.tenant,
            search=task.search,
            lineage_id=task.lineage,
            key=self._plan.key_of_level(level),
            level=level,
            spec=task.spec,
            device=spec.device_class,
            threads=spec.threads,
            steps=spec.train.steps,
            attempt=task.attempt,
            is_control=task.source_key is not None,
            priority=task.priority,
            **self._inputs(level),
        )

    def _inputs(self, level: int) -> dict[str, str | None]:
        """Digests of the blobs that a level starts from, by the names that an order has for them.

        Raises:
            LevelFailed: If one is not there yet.
        """
        names: dict[str, str | None] = {}
        for name, place in inputs_of(self._plan, level).items():
            stored = self._standing(place.key, place.level)["stored"]
            if place.blob not in stored:
                message = f"level {place.level} of {place.key} was stored without {place.blob}"
                raise LevelFailed(Failure("user", message))
            names[name] = stored[place.blob]["sha256"]
        return names

    def _source(self, level: int) -> dict[str, Any] | None:
        """The committed level that a control takes its mask from; None where it takes none."""
        key = self._task.source_key
        return None if key is None or level == 0 else self._standing(key, level)

    def _standing(self, key: str, level: int) -> dict[str, Any]:
        """Return a committed level, looking for it again if it was not there before.

        Raises:
            LevelFailed: If it is not there yet.
        """
        if level not in self._manifests.get(key, {}):
            self._read(key)
        found = self._manifests[key].get(level)
        if found is None:
            raise LevelFailed(Failure("infra", f"level {level} of {key} is not there yet", blamed=False))
        return found

    def _ask_for(self, order: Order) -> Trained:
        """Have a level trained; blocks until an engine has done it.

        Raises:
            LevelFailed: If it was not.
            RayError: If the pool died meanwhile.
            ValueError: If there is no pool.
        """
        pool: Any = ray.get_actor(POOL, namespace=NAMESPACE)
        admission: Admission | Failure = _wait(pool, pool.admit.remote(order))
        if isinstance(admission, Failure):
            raise LevelFailed(admission)
        self._tell_start(order, admission)
        reply: Reply = _wait(pool, pool.collect.remote(admission.ticket, order.search))
        if isinstance(reply, Failure):
            raise LevelFailed(reply)
        return reply

    def _tell_start(self, order: Order, admission: Admission) -> None:
        task = self._task
        name = f"{task.lineage}:{order.level}:started" + (f":{task.attempt}" if task.attempt > 1 else "")
        data = {"attempt": task.attempt, "node": admission.node, "steps": order.steps, "joined": admission.joined}
        where = (name, "level.started", task.lineage, order.level, data, task.epoch)
        self._bridge.call(self._record.emit(task.tenant, task.search, *where))


def _wait(pool: Any, answer: Any) -> Any:
    """Wait for an answer of the pool as long as the pool lives.

    Raises:
        RayError: If the pool is dead, or has not answered a ping in time.
    """
    while not ray.wait([answer], timeout=CALL_TIMEOUT_S)[0]:
        ray.get(pool.ping.remote(), timeout=6 * CALL_TIMEOUT_S)
    return ray.get(answer)
