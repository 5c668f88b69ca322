"""What drivers and trials do: load a search, take it over, commit levels, record outcomes, end it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lth_core.canonical import FORMAT, canonical_json, sha256_hex
from lth_core.expansion import DatasetInfo, PlannedLineage
from lth_core.spec import Submission
from service.store import event_docs, keys
from service.store.committing import Committing
from service.store.errors import RedisUnavailable, StoreUnavailable
from service.store.failpoints import reach
from service.store.log import OUTCOMES, TERMINAL, LogState, Terminal, fold
from service.store.logbook import Appended, Draft, take_over
from service.store.mirror import results_field
from service.store.plans import Plan

OVERLAY_TTL_MS = 60_000
LOG_POLL_S = 5.0
"""How often a driver looks into the log itself for a wish that the index may have lost."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchTruth:
    """A search as its driver needs it, from the store.

    Attributes:
        tenant: Whose search it is.
        id: Its id.
        accepted_at: When it was accepted, RFC 3339.
        submission: The body.
        dataset: The data set as registered at acceptance.
        lineages: Its expansion.
        lineage_ids: Lineage ids by lineage key.
        log: What its log decides so far.
        revision: Number of the last log record.
    """

    tenant: str
    id: str
    accepted_at: str
    submission: Submission
    dataset: DatasetInfo
    lineages: tuple[PlannedLineage, ...]
    lineage_ids: Mapping[str, str]
    log: LogState
    revision: int
    plan: Plan


class Work(Committing):
    """The driver's half of the record; everything here is fenced by the leader's epoch."""

    _log_polled_s: dict[tuple[str, str], float]

    async def load(self, tenant: str, search_id: str) -> SearchTruth:
        """Read a search from the store, and bring the index up to it where Redis answers.

        Raises:
            NotFound: If the tenant has no such search.
            StoreUnavailable: If the store does not answer.
        """
        plan = await self.plan(tenant, search_id)
        facts = await self.stored.facts(plan)
        assert facts is not None
        try:
            await self.mirror_search(facts)
        except RedisUnavailable:
            _log.info("index not brought up to date for %s", search_id)
        accepted = plan.accepted
        at = json.loads(plan.raw)["accepted_at"]
        known = (accepted.submission, accepted.dataset, plan.lineages, plan.ids)
        return SearchTruth(tenant, search_id, at, *known, facts.log, facts.log.revision, plan)

    async def take_over(self, tenant: str, search_id: str, epoch: int) -> LogState:
        """Make a search the leader's, once per epoch; return its log's state.

        Raises:
            StaleEpoch: If a later leader took it over.
            StoreUnavailable: If it is unknown what stands.
        """
        plan = await self.plan(tenant, search_id)
        appended = await self.logbook.append(
            tenant, search_id, lambda state: None if state.terminal else take_over(epoch)
        )
        reach("FP_AFTER_TAKEOVER")
        await self._mirror_log(plan, appended, epoch)
        return appended.state

    async def append(
        self, tenant: str, search_id: str, kind: str, data: Mapping[str, Any], op_id: str, epoch: int
    ) -> LogState:
        """Record a leader's decision (outcome, rung, suggestion, retry) once; return the log's state.

        After the search's end nothing is recorded; `state.terminal` tells.

        Raises:
            StaleEpoch: If a later leader took the search over.
            StoreUnavailable: If it is unknown what stands.
        """
        if kind not in ("outcome", "rung", "suggestion", "retry"):
            raise ValueError(f"kind must be outcome, rung, suggestion or retry, got {kind!r}")
        if kind == "outcome" and data["status"] not in OUTCOMES:
            raise ValueError(f"outcome must be one of {sorted(OUTCOMES)}, got {data['status']!r}")
        plan = await self.plan(tenant, search_id)
        appended = await self.logbook.append(
            tenant, search_id, lambda state: None if state.terminal else Draft(kind, op_id, data, epoch)
        )
        await self._mirror_log(plan, appended, epoch)
        return appended.state

    async def put_results(self, tenant: str, search_id: str, results: Mapping[str, Any]) -> str:
        """Store a search's results under their digest, and return it.

        Raises:
            StoreUnavailable: If it is unknown what stands.
        """
        plan = await self.plan(tenant, search_id)
        raw = canonical_json({"format": FORMAT, **results})
        digest = sha256_hex(raw)
        await self.objects.put_if_absent(keys.results(tenant, search_id, digest), raw)
        reach("FP_AFTER_RESULTS")
        try:
            await self.mirror.put(f"search:{plan.tenant}:{plan.id}", results_field(digest), raw)
        except RedisUnavailable:
            _log.info("results of %s are stored but not indexed", search_id)
        return digest

    async def finish(
        self, tenant: str, search_id: str, status: str, reason: str | None, results_sha256: str | None, epoch: int
    ) -> Terminal:
        """End a search, once; return the end that stands, which is `cancelled` if a client wished so first.

        Raises:
            ValueError: If the status is no end, or `cancelled` without a client's wish.
            StaleEpoch: If a later leader took the search over.
            StoreUnavailable: If it is unknown what stands.
        """
        if status not in TERMINAL:
            raise ValueError(f"status must be one of {sorted(TERMINAL)}, got {status!r}")
        plan = await self.plan(tenant, search_id)

        def decide(state: LogState) -> Draft | None:
            if state.terminal is not None:
                return None
            if status == "cancelled" and state.wish is None:
                raise ValueError("status cancelled needs a client's wish in the log")
            end = ("cancelled", "cancelled by the client") if state.wish else (status, reason)
            data = {"status": end[0], "reason": end[1], "results": results_sha256}
            return Draft("terminal", f"terminal:{epoch}", data, epoch)

        appended = await self.logbook.append(tenant, search_id, decide)
        reach("FP_AFTER_TERMINAL")
        terminal = appended.state.terminal
        assert terminal is not None
        await self._mirror_end(plan, appended, epoch)
        self._ended.add((tenant, search_id))
        return terminal

    async def heartbeat(self, tenant: str, search_id: str, epoch: int, overlay: Mapping[str, Any]) -> str | None:
        """Show what runs right now, for a minute; return the mode in which a client wants the search cancelled.

        Args:
            tenant: Whose search.
            search_id: The search.
            epoch: The leader's epoch.
            overlay: `{"status": "provisioning" or "running", "status_at": {state: time}, "conditions": [...],
                "usage": {...}, "eta": ..., "lineages": {lineage id: {"status", "reason", "attempt", "max_attempts",
                "node", "heartbeat_at", "current": {"level", "step", "steps"}, "status_at", "error"}}}`.

        Raises:
            StaleEpoch: If a later leader has been seen.
            RedisUnavailable: If nobody could be shown anything.
        """
        await self._mirror_what_is_late(epoch)
        raw = canonical_json(overlay)
        wish = await self.index.call("beat", epoch, tenant, search_id, raw, OVERLAY_TTL_MS)
        return wish.decode() or await self._wish_in_log(tenant, search_id)

    async def cancel_wish(self, tenant: str, search_id: str) -> str | None:
        """Return the mode in which a client wants the search cancelled, None if nobody does; cheap to ask.

        Raises:
            StoreUnavailable: If neither index nor store can say.
        """
        member = f"{search_id}/{tenant}"
        try:
            wish = await self.index.read_one(lambda pipe, own: pipe.hget(f"{own}wishes", member))
        except RedisUnavailable:
            return fold(await self.logbook.read(tenant, search_id)).mode
        return wish.decode() if wish else await self._wish_in_log(tenant, search_id)

    async def emit(
        self,
        tenant: str,
        search_id: str,
        event_id: str,
        kind: str,
        lineage: str | None,
        level: int | None,
        data: Mapping[str, Any],
        epoch: int,
    ) -> None:
        """Tell a search's listeners something, once for each event id; lost while Redis is down.

        Raises:
            StaleEpoch: If a later leader has been seen.
        """
        event = event_docs.make(search_id, event_id, kind, lineage=lineage, level=level, data=data)
        try:
            await self.mirror.announce(await self.plan(tenant, search_id), [event], epoch=epoch)
        except RedisUnavailable:
            _log.info("event %s was not delivered", event_id)

    async def _mirror_end(self, plan: Plan, appended: Appended, epoch: int) -> None:
        """Index the end, the results, and every level that is missing there."""
        facts = await self.stored.facts(plan)
        assert facts is not None
        used = float((facts.results or {}).get("usage", {}).get("gpu_seconds", 0.0))
        await self._mirror_log(plan, replace(appended, written=()), epoch, used)
        try:
            await self.mirror_search(facts)
        except RedisUnavailable:
            _log.info("the end of %s is stored but not indexed", plan.id)

    async def _wish_in_log(self, tenant: str, search_id: str) -> str | None:
        """Look into the log itself now and then: the index may have lost the wish."""
        now_s = time.monotonic()
        if now_s - self._log_polled_s.get((tenant, search_id), 0.0) < LOG_POLL_S:
            return None
        self._log_polled_s[tenant, search_id] = now_s
        try:
            return fold(await self.logbook.read(tenant, search_id)).mode
        except StoreUnavailable:
            return None  # looked for again at a later heartbeat
