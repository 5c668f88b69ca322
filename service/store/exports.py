"""Exports: forms of a ticket that a worker makes on request, queued once and kept by content address."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

from service.store.errors import ExportFailed
from service.store.objects import BlobRef
from service.store.tickets import Tickets

EXPORT_LEASE_MS = 120_000
POLL_S = 0.2
FORMATS = ("torch_prune", "open_lth")


@dataclass(frozen=True)
class ExportJob:
    """A form of a ticket that a worker is asked to make."""

    tenant: str
    ticket: str
    format: str

    def encode(self) -> str:
        """Write it as the queue holds it."""
        return f"{self.tenant}/{self.ticket}/{self.format}"

    @classmethod
    def decode(cls, text: str) -> ExportJob:
        """Read it from the queue."""
        return cls(*text.split("/"))


class Exports(Tickets):
    """The part of the record that workers' exports go through."""

    async def request_export(self, tenant: str, ticket_id: str, format: str) -> BlobRef | None:  # noqa: A002
        """Return an export's blob, or None after queueing it to be made.

        Raises:
            ValueError: If no worker makes this form.
            NotFound: If the tenant has no such ticket.
            ExportFailed: If a worker could not make it.
            RedisUnavailable: If Redis does not answer.
        """
        if format not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
        job = ExportJob(tenant, ticket_id, format)
        raw = await self.index.read_one(lambda pipe, own: pipe.hget(f"{own}exported:{tenant}", f"{ticket_id}:{format}"))
        if raw is not None:
            made = json.loads(raw)
            if "error" in made:
                raise ExportFailed(made["error"])
            return BlobRef(made["sha256"], made["size_bytes"])
        await self.ticket(tenant, ticket_id)
        await self.index.call("ask_export", job.encode())
        return None

    async def num_exports_waiting(self) -> int:
        """Return how many exports are queued or being made.

        Raises:
            RedisUnavailable: If Redis does not answer.
        """
        return int(await self.index.read_one(lambda pipe, own: pipe.zcard(f"{own}exports")))

    async def next_export(self, block_s: float) -> ExportJob | None:
        """Take the export that waits longest, waiting up to `block_s`; one that is not finished comes back.

        Raises:
            RedisUnavailable: If Redis does not answer.
        """
        deadline_s = time.monotonic() + block_s
        while True:
            taken = (await self.index.call("take_export", EXPORT_LEASE_MS)).decode()
            if taken:
                return ExportJob.decode(taken)
            if time.monotonic() >= deadline_s:
                return None
            await asyncio.sleep(POLL_S)

    async def finish_export(self, job: ExportJob, made: BlobRef | None, *, error: str | None = None) -> None:
        """Record what became of an export: the blob that was put, or why it cannot be made.

        Raises:
            RedisUnavailable: If Redis does not answer; the job comes back later.
        """
        if (made is None) == (error is None):
            raise ValueError("an export ends with a blob or with an error, not both")
        answer = {"error": error} if made is None else {"sha256": made.sha256, "size_bytes": made.size_bytes}
        where = (f"exported:{job.tenant}", f"{job.ticket}:{job.format}", json.dumps(answer))
        await self.index.call("finish_export", job.encode(), *where)
