"""Derived artefacts: what a worker makes on request, queued once, kept by content address, made again if it is lost.

Answers stand in the index, bytes are blobs. An analysis or report of an ended search is a result: a record below the
search's `results/` names its blob, so that it outlives the index.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from lth_core.canonical import FORMAT, canonical_json
from service.store import clock, keys
from service.store.errors import ExportFailed, NotFound, NotPossible, ObjectNotFound, RedisUnavailable
from service.store.facts import Facts
from service.store.jobs import FINAL, Job, Kind, check_name
from service.store.objects import BlobRef
from service.store.tickets import Tickets

LEASE_MS = 120_000
"""How long a taken job stays with its worker, unless he says that he still works on it."""
MAX_TRIES = 3
"""How many workers may die over one job."""
POLL_S = 0.2


class Derived(Tickets):
    """The part of the record that derived artefacts go through."""

    async def derived_job(self, tenant: str, subject: str, kind: Kind, name: str) -> Job:
        """Return what is asked for, at the version that stands now.

        Args:
            tenant: Who asks.
            subject: Id of one of his tickets or searches.
            kind: What sort of thing.
            name: Which one of its kind.

        Raises:
            ValueError: If no worker makes it.
            NotFound: If the tenant has no such ticket or search.
        """
        check_name(subject, kind, name)
        facts = await self._facts_of_subject(tenant, subject)
        if kind == "export" or facts.log.terminal is not None:
            return Job(tenant, subject, kind, name, FINAL)
        return Job(tenant, subject, kind, name, str(sum(len(levels) for levels in facts.levels.values())))

    async def derived(self, job: Job, *, older: bool = False) -> BlobRef | None:
        """Return what was made, None while there is nothing new enough.

        Args:
            job: What is asked for.
            older: Whether an earlier version will do.

        Raises:
            ExportFailed: If a worker could not make an export.
            NotPossible: If a worker could not make anything else.
            RedisUnavailable: If Redis does not answer.
        """
        raw = await self.index.read_one(lambda pipe, own: pipe.hget(f"{own}derived:{job.tenant}", job.field))
        answer = json.loads(raw) if raw else None
        if answer is None or not (older or job.is_met_by(answer["version"])):
            return None
        if "error" in answer:
            if not job.is_met_by(answer["version"]):
                return None
            raise (ExportFailed if job.kind == "export" else NotPossible)(answer["error"])
        return await self._if_there(job, answer)

    async def request_derived(self, tenant: str, subject: str, kind: Kind, name: str) -> BlobRef | None:
        """Return an artefact's blob, or None after queueing it to be made; a kept result needs no index.

        Raises:
            ValueError: If no worker makes it.
            NotFound: If the tenant has no such ticket or search.
            ExportFailed: If a worker could not make an export.
            NotPossible: If a worker could not make anything else.
            RedisUnavailable: If Redis does not answer.
        """
        return await self.ask_derived(await self.derived_job(tenant, subject, kind, name))

    async def ask_derived(self, job: Job) -> BlobRef | None:
        """As `request_derived`, for a job whose version is settled already."""
        try:
            found = await self.derived(job)
        except RedisUnavailable:
            if (kept := await self._kept(job)) is None:
                raise
            return kept
        if found is not None:
            return found
        kept = await self._kept(job)
        if kept is None:
            await self.index.call("ask_derived", job.member)
        else:
            await self.mirror.put(f"derived:{job.tenant}", job.field, _made(job, kept), once=False)
        return kept

    async def num_derived_waiting(self) -> int:
        """Return how many jobs are queued or being worked on.

        Raises:
            RedisUnavailable: If Redis does not answer.
        """
        return int(await self.index.read_one(lambda pipe, own: pipe.zcard(f"{own}derive")))

    async def next_derived(self, block_s: float) -> Job | None:
        """Take the job that waits longest, waiting up to `block_s`; one that is not finished comes back.

        A job over which several workers died is finished here, with that as its reason.

        Raises:
            RedisUnavailable: If Redis does not answer.
        """
        deadline_s = time.monotonic() + block_s
        while True:
            taken = await self.index.call("take_derived", LEASE_MS)
            if taken:
                job = Job.of_member(taken[0].decode())
                try:
                    job = await self.derived_job(job.tenant, job.subject, job.kind, job.name)
                except (NotFound, ValueError) as error:
                    await self.finish_derived(job, None, error=str(error))
                    continue
                if int(taken[1]) <= MAX_TRIES:
                    return job
                await self.finish_derived(job, None, error=f"{MAX_TRIES} workers died over it")
            elif time.monotonic() >= deadline_s:
                return None
            else:
                await asyncio.sleep(POLL_S)

    async def hold_derived(self, job: Job) -> None:
        """Say that a taken job is still being worked on.

        Raises:
            RedisUnavailable: If Redis does not answer; the job may come back to the queue.
        """
        await self.index.call("hold_derived", job.member, LEASE_MS)

    async def finish_derived(self, job: Job, made: BlobRef | None, *, error: str | None = None) -> None:
        """Record what became of a job: the blob that was put, or why it cannot be made.

        Raises:
            RedisUnavailable: If Redis does not answer; the job comes back later.
            StoreUnavailable: If it is unknown whether a result is kept; likewise.
        """
        if (made is None) == (error is None):
            raise ValueError("a job ends with a blob or with an error, not both")
        if made is None:
            raw = canonical_json({"version": job.version, "error": error})
        else:
            raw = _made(job, await self._keep(job, made) if job.is_kept else made)
        await self.index.call("finish_derived", job.member, f"derived:{job.tenant}", job.field, raw)

    async def _facts_of_subject(self, tenant: str, subject: str) -> Facts:
        if subject.startswith("tkt_"):
            return (await self.found_ticket(tenant, subject)).facts
        return (await self.facts(tenant, subject))[0]

    async def _if_there(self, job: Job, answer: dict[str, Any]) -> BlobRef | None:
        """Return the blob that an answer names, None if it was swept away and must be made again."""
        try:
            await self.objects.head(keys.blob(job.tenant, answer["sha256"]))
        except ObjectNotFound:
            return None
        return BlobRef(answer["sha256"], answer["size_bytes"])

    async def _kept(self, job: Job) -> BlobRef | None:
        """Look for a result below its search's `results/`."""
        if not job.is_kept:
            return None
        try:
            record = json.loads(await self.objects.get(await self._place_of(job)))
        except ObjectNotFound:
            return None
        return await self._if_there(job, record)

    async def _keep(self, job: Job, made: BlobRef) -> BlobRef:
        """Record a result below its search's `results/`; return the one that stands."""
        record = {
            "format": FORMAT,
            "subject": job.subject,
            "kind": job.kind,
            "name": job.name,
            "sha256": made.sha256,
            "size_bytes": made.size_bytes,
            "made_at": clock.to_text(clock.now()),
        }
        raw, _ = await self.objects.put_if_absent(await self._place_of(job), canonical_json(record))
        return await self._if_there(job, json.loads(raw)) or made

    async def _place_of(self, job: Job) -> str:
        facts = await self._facts_of_subject(job.tenant, job.subject)
        return keys.derived(job.tenant, facts.plan.id, job.subject, job.kind, job.name)


def _made(job: Job, ref: BlobRef) -> bytes:
    return canonical_json({"version": job.version, "sha256": ref.sha256, "size_bytes": ref.size_bytes})
