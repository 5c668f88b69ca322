"""Waiting for what a worker makes: at once if it is there, for half a minute if it is not, then 202."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from fastapi import Request, Response

from service.api import docs
from service.api.context import Caller
from service.api.errors import ApiError
from service.api.responses import as_json
from service.store.jobs import FINAL, Kind, check_name

WAIT_S = 30.0
POLL_S = 0.25
RETRY_S = 5

LATER = {
    **docs.problems(409, 416),
    202: {
        "description": "A worker is making it; ask again after `Retry-After` seconds.",
        "content": {"application/json": {"schema": {"type": "object"}}},
        "headers": {"Retry-After": {"schema": {"type": "integer"}}},
    },
}
"""The documented answers of what a worker makes, beside those of a file."""


@dataclass(frozen=True)
class Made:
    """What a worker made, and whether it can change while its search goes on."""

    data: bytes
    final: bool


async def wait_for(request: Request, caller: Caller, subject: str, kind: Kind, name: str) -> Made | None:
    """Return what a worker has made, waiting a while for it; None while it is being made.

    Of a search that goes on, what was made of fewer levels is served where the newest takes too long.

    Raises:
        ApiError: `not_found`, if there is no such analysis, report or figure.
        RecordError: As `Record.request_derived`.
    """
    try:
        check_name(subject, kind, name)
    except ValueError as error:
        raise ApiError("not_found", f"there is no such {kind}: {error}") from None
    record = caller.record
    job = await record.derived_job(caller.tenant, subject, kind, name)
    deadline_s = time.monotonic() + (WAIT_S if request.method == "GET" else 0.0)
    ref = await record.ask_derived(job)
    while ref is None:
        stopping = caller.services.draining.is_set() or await request.is_disconnected()
        if stopping or time.monotonic() >= deadline_s:
            break
        await asyncio.sleep(POLL_S)
        ref = await record.derived(job)
    if ref is None and job.version != FINAL:
        ref = await record.derived(job, older=True)
    if ref is None:
        return None
    return Made(await record.blob(caller.tenant, ref.sha256), job.version == FINAL)


def later(request: Request, subject: str, kind: Kind, name: str) -> Response:
    """Answer that a worker is still making it."""
    of = "ticket" if subject.startswith("tkt_") else "search"
    answer = {"object": kind, of: subject, "format" if kind == "export" else "name": name, "status": "queued"}
    headers = {"Retry-After": str(RETRY_S), "Vary": "Accept"}
    return as_json(request, answer, 202, headers=headers, chosen=True)
