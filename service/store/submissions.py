"""Accepting and cancelling searches: quota, claim, specification, index, in this order, each step repeatable."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import logging
import secrets
from typing import Any

from lth_core.canonical import FORMAT, NUMERICS, canonical_json
from lth_core.keys import new_search_id
from lth_core.spec import Submission
from service.store import clock, keys, views
from service.store.datasets import Datasets
from service.store.documents import Document
from service.store.errors import (
    AlreadyTerminal,
    IdempotencyKeyReused,
    ObjectNotFound,
    QuotaExceeded,
    RedisUnavailable,
    StoreUnavailable,
    TooLargeForQuota,
    TooManyLineages,
)
from service.store.facts import Facts
from service.store.failpoints import reach
from service.store.log import MODES, LogState
from service.store.logbook import Draft
from service.store.mirror import reservation_of
from service.store.plans import Accepted, Plan, device_class_of
from service.store.uploads import Uploads

RESERVATION_MS = 60_000
WRITE_TIMEOUT_S = 4.5
_log = logging.getLogger(__name__)


class Submissions(Datasets, Uploads):
    """The client's writes: submit and cancel."""

    async def submit(
        self, tenant: str, submission: Submission, *, idempotency_key: str, fingerprint: str
    ) -> tuple[Document, bool]:
        """Accept a search, once for each idempotency key, however often and wherever it is called.

        Args:
            tenant: Whose search it will be.
            submission: The body.
            idempotency_key: Names this submission over all its tries.
            fingerprint: Digest of method, path and canonical body.

        Returns:
            The search, and whether this call created it.

        Raises:
            TooManyLineages: If it is too large, counted before anything is built.
            UnknownDataset: If its data set is not registered.
            UnknownTicket, UnknownUpload: If the tenant has no such ticket to transfer.
            SpecError: If the specification does not fit its data set.
            QuotaExceeded: If the tenant's quota is spent for now.
            TooLargeForQuota: If it can never fit.
            IdempotencyKeyReused: If the key names a search with another body.
            RedisUnavailable: If Redis is down; nothing was accepted.
            StoreUnavailable: If the store is down; the search may have been accepted, and the same key tells.
        """
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                return await self._submit(tenant, submission, idempotency_key, fingerprint)
        except TimeoutError:
            raise StoreUnavailable("the submission was not stored in time; repeat it with the same key") from None

    async def cancel(self, tenant: str, search_id: str, mode: str = "kill") -> tuple[Document, bool]:
        """Record the wish to cancel a search; a stricter mode than the one wished before wins.

        Returns:
            The search, and whether it was cancelled already.

        Raises:
            NotFound: If the tenant has no such search.
            AlreadyTerminal: If it ended otherwise.
            StoreUnavailable: If it is unknown whether the wish was stored.
        """
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        plan = await self.plan(tenant, search_id)

        def decide(state: LogState) -> Draft | None:
            if state.terminal is not None and state.terminal.status != "cancelled":
                raise AlreadyTerminal(state.terminal.status)
            if state.terminal is not None or (state.mode is not None and MODES.index(state.mode) >= MODES.index(mode)):
                return None
            return Draft("cancel", f"cancel:{mode}", {"mode": mode})

        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                appended = await self.logbook.append(tenant, search_id, decide)
        except TimeoutError:
            raise StoreUnavailable("the wish was not stored in time; repeat it") from None
        reach("FP_AFTER_CANCEL")
        try:
            await self.mirror.logged(plan, appended.records, appended.records)
            facts, _ = await self.facts(tenant, search_id)
        except RedisUnavailable:
            _log.warning("cancel of %s is stored but not indexed; the driver reads the log", search_id)
            facts = Facts(plan, appended.records)
        return Document(views.search_document(facts)), appended.state.terminal is not None

    def check_size(self, submission: Submission) -> None:
        """Refuse a search that is too large, by a product of lengths; nothing is built.

        Raises:
            TooManyLineages: Naming the count and the bound.
        """
        spec, limit = submission.spec, self.settings.quota_lineages
        if spec.num_lineages > limit:
            detail = (
                f"{spec.num_settings} settings x {len(spec.replicates)} replicates x {1 + spec.num_control_draws} "
                f"treatments = {spec.num_lineages} lineages; the limit is {limit}."
            )
            raise TooManyLineages(detail, spec.num_lineages, limit)

    async def _submit(
        self, tenant: str, submission: Submission, idempotency_key: str, fingerprint: str
    ) -> tuple[Document, bool]:
        self.check_size(submission)
        draft = await self._draft(tenant, submission, fingerprint)
        claim_key = keys.claim(tenant, idempotency_key)
        reservation = reservation_of(claim_key, fingerprint)
        if not await self._reserve(draft, claim_key, fingerprint, reservation):
            reservation = ""
        reach("FP_AFTER_QUOTA")
        claim, created = await self._claim(draft, claim_key, fingerprint)
        if claim["fingerprint"] != fingerprint:
            await self._release(draft, reservation)
            raise IdempotencyKeyReused("this Idempotency-Key was used for another body")
        reach("FP_AFTER_CLAIM")
        plan = await self._put_spec(draft, claim)
        reach("FP_AFTER_SPEC")
        facts = await self._enqueue(plan, reservation)
        reach("FP_AFTER_ENQUEUE")
        return Document(views.search_document(facts)), created

    async def _draft(self, tenant: str, submission: Submission, fingerprint: str) -> Plan:
        """Build what would be accepted, so that nothing that cannot run is ever claimed."""
        now = clock.now()
        accepted = Accepted(
            tenant,
            new_search_id(now, secrets.token_bytes(10)),
            now,
            fingerprint,
            submission,
            await self.dataset_info(submission.spec.dataset.name),
            device_class_of(submission.resources.device, self.settings.device_class),
            {"code": _code(), "numerics": NUMERICS},
            await self.origin(tenant, submission.spec.init),
        )
        return await asyncio.to_thread(Plan.of, accepted)

    async def _reserve(self, plan: Plan, claim_key: str, fingerprint: str, reservation: str) -> bool:
        """Reserve quota; False where the quota is spent but the search exists already and needs none.

        Raises:
            QuotaExceeded: If the quota is spent and there is no such search yet.
            TooLargeForQuota: If the search can never fit.
        """
        limit = self.settings.quota_gpu_seconds
        seconds = plan.accepted.submission.budget.max_gpu_seconds
        on_gpu = plan.accepted.device_class == "cuda"
        if limit is not None and on_gpu and (seconds is None or seconds > limit):
            asked = "no max_gpu_seconds" if seconds is None else f"{seconds:g} GPU-seconds"
            raise TooLargeForQuota(f"the budget asks for {asked}; the quota is {limit:g} a month")
        answer = await self.index.call(
            "reserve",
            plan.tenant,
            reservation,
            self.settings.quota_live_searches,
            RESERVATION_MS,
            plan.month,
            seconds or 0.0,
            "" if limit is None else limit,
        )
        spent = answer.decode()
        if spent == "ok":
            return True
        try:
            claim = json.loads(await self.objects.get(claim_key))
        except ObjectNotFound:
            allowed = {"live_searches": self.settings.quota_live_searches, "gpu_seconds": limit}[spent]
            raise QuotaExceeded(f"the quota of {allowed:g} {spent} is spent") from None
        if claim["fingerprint"] != fingerprint:
            raise IdempotencyKeyReused("this Idempotency-Key was used for another body")
        return False

    async def _claim(self, plan: Plan, claim_key: str, fingerprint: str) -> tuple[dict[str, Any], bool]:
        """Tie the idempotency key to this search, or find the search it is tied to."""
        claim = {
            "format": FORMAT,
            "search": plan.id,
            "fingerprint": fingerprint,
            "accepted_at": clock.to_text(plan.accepted.accepted_at),
        }
        try:
            standing, ours = await self.objects.put_if_absent(claim_key, canonical_json(claim))
        except StoreUnavailable:
            await self._release(plan, reservation_of(claim_key, fingerprint))
            raise
        return json.loads(standing), ours

    async def _put_spec(self, draft: Plan, claim: dict[str, Any]) -> Plan:
        """Store the specification under the claim's id, or take the one that stands."""
        own = draft.accepted
        accepted = Accepted(
            own.tenant,
            claim["search"],
            clock.from_text(claim["accepted_at"]),
            own.fingerprint,
            own.submission,
            own.dataset,
            own.device_class,
            own.provenance,
            own.origin,
        )
        key = keys.spec(accepted.tenant, accepted.id)
        standing, _ = await self.objects.put_if_absent(key, accepted.to_bytes())
        if standing == draft.raw:
            return self._plans.add(draft)
        plan = await asyncio.to_thread(Plan.of, Accepted.from_bytes(standing), standing)
        return self._plans.add(plan)

    async def _enqueue(self, plan: Plan, reservation: str) -> Facts:
        """Index and queue the search; a failure is repaired later and changes nothing for the client."""
        try:
            await self.mirror.accepted(plan, reservation)
            return await self.facts_of(self.indexed, plan)
        except RedisUnavailable:
            _log.warning("search %s is accepted but not indexed; it will be found in the store", plan.id)
            return Facts(plan)

    async def _release(self, plan: Plan, reservation: str) -> None:
        try:
            await self.index.call("release", plan.tenant, reservation, plan.month)
        except RedisUnavailable:
            _log.info("a quota reservation was left to lapse")


def _code() -> str:
    try:
        return f"lottery-ticket-search {importlib.metadata.version('lottery-ticket-search')}"
    except importlib.metadata.PackageNotFoundError:
        return "lottery-ticket-search"
