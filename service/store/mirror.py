"""Writing the index: each fact of the object store mirrored by one function call that may be repeated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lth_core.canonical import canonical_json
from service.store import event_docs
from service.store.index import Index
from service.store.log import LogRecord, LogState, fold
from service.store.plans import Plan
from service.store.summaries import Summary, summarise

SPEC = b"spec"


def log_field(number: int) -> str:
    """Field of a search's hash that holds one log record."""
    return f"log:{number:06d}"


def results_field(sha256: str) -> str:
    """Field of a search's hash that holds its results."""
    return f"results:{sha256}"


def reservation_of(claim_key: str, fingerprint: str) -> str:
    """Name of a quota reservation: the claim and the fingerprint that it is made for."""
    return f"reservation:{claim_key}:{fingerprint}"


class Mirror:
    """The writing half of the index; a failure leaves a gap that reconciling closes.

    A mirror that is not `live` builds a generation that nobody listens to, and announces nothing.
    """

    def __init__(self, index: Index, *, live: bool = True) -> None:
        self._index = index
        self._live = live

    async def accepted(self, plan: Plan, reservation: str = "") -> bool:
        """Index an accepted search and queue it unless its log says that it was taken over or has ended."""
        seconds = plan.accepted.submission.budget.max_gpu_seconds or 0.0
        events = self._flat(event_docs.accepted(plan))
        where = (plan.tenant, plan.id, plan.raw, plan.priority_rank, reservation, plan.month, seconds)
        return bool(await self._index.call("enqueue", *where, *events))

    async def logged(
        self,
        plan: Plan,
        records: Sequence[LogRecord],
        fresh: Iterable[LogRecord],
        *,
        epoch: int | None = None,
        gpu_seconds: float = 0.0,
    ) -> None:
        """Index records of a log.

        Args:
            plan: The search.
            records: Its whole log.
            fresh: Those of its records that the index may lack.
            epoch: The writer's epoch, None for a client or for repair.
            gpu_seconds: What the search used, for the end.
        """
        for record in fresh:
            place = record.n - records[0].n
            before, after = fold(records[:place]), fold(records[: place + 1])
            effect, detail = _effect(plan, before, after)
            events = event_docs.logged(plan, record) if _counted(before, after) else []
            await self._index.call(
                "log",
                "" if epoch is None else epoch,
                plan.tenant,
                plan.id,
                log_field(record.n),
                record.to_bytes(),
                effect,
                detail,
                gpu_seconds,
                *self._flat(events),
            )

    async def committed(
        self, plan: Plan, key: str, manifest: Mapping[str, Any], *, epoch: int | None = None
    ) -> Summary:
        """Index a committed level and announce it to the search's listeners."""
        summary = summarise(manifest)
        level = summary["level"]
        lineages = plan.lineages_at(key, level)
        tickets: list[str] = []
        for lineage in lineages if level else ():
            name = plan.ticket_id(lineage.key, level, summary["committed_at"])
            tickets += [name, f"{plan.id}/{lineage.key}/{level}"]
        await self._index.call(
            "commit",
            "" if epoch is None else epoch,
            plan.tenant,
            plan.id,
            key,
            level,
            canonical_json(manifest),
            canonical_json(summary),
            json.dumps(tickets),
            *self._flat(event_docs.committed(plan, lineages, summary)),
        )
        return summary

    async def announce(self, plan: Plan, events: list[event_docs.Event], *, epoch: int | None = None) -> int:
        """Append events to a search's stream, each once; return how many were new."""
        own = "" if epoch is None else epoch
        return int(await self._index.call("announce", own, plan.tenant, plan.id, *event_docs.flat(events)))

    async def tickets(self, tenant: str, places: Mapping[str, str]) -> None:
        """Index where tickets lie, those of adopted levels included."""
        if places:
            flat = [text for pair in places.items() for text in pair]
            await self._index.call("name_tickets", tenant, *flat)

    async def put(self, name: str, field: str, value: bytes, *, once: bool = True) -> None:
        """Index one document of a hash; `once` keeps what is there."""
        await self._index.call("put", name, field, value, "once" if once else "always")

    def _flat(self, events: list[event_docs.Event]) -> list[str | bytes]:
        return event_docs.flat(events) if self._live else []


def _effect(plan: Plan, before: LogState, after: LogState) -> tuple[str, str]:
    """What a record changes in queue, wishes and quota, and the detail that goes with it."""
    if after.terminal is not None and before.terminal is None:
        return "ended", plan.month
    if after.mode != before.mode:
        return "wish", str(after.mode)
    if after.epoch != before.epoch:
        return "taken", ""
    return "", ""


def _counted(before: LogState, after: LogState) -> bool:
    """Tell whether a record changed more than the log's length."""
    same_length = replace(after, revision=before.revision, op_ids=before.op_ids, num_stale=before.num_stale)
    return same_length != before
