"""The process that makes exports, analyses and reports: `python -m workers.derive` drains their queue."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from service.settings import Settings
from service.store.derived import LEASE_MS
from service.store.errors import ArtefactCorrupt, NotFound, RecordError, RedisUnavailable, StoreUnavailable
from service.store.jobs import Job
from service.store.record import Record

EXIT_UNREACHABLE = 1
IDLE_S = 30.0
"""How long it waits for the next job before it ends; torch in memory is not free."""
HOLD_EVERY_S = LEASE_MS / 4000

Maker = Callable[[Record, Job], Awaitable[bytes]]
_log = logging.getLogger(__name__)


async def make(record: Record, job: Job) -> bytes:
    """Make what a job asks for; what each kind needs is imported only when it is asked for.

    Raises:
        ValueError: If it cannot be made, in a sentence for the client.
        NotFound: If the tenant has no such ticket or search.
        ArtefactCorrupt: If stored bytes are gone or are not what they should be.
        RedisUnavailable, StoreUnavailable: If the record does not answer.
    """
    if job.kind == "export":
        from workers.export_making import make_export

        return await make_export(record, job.tenant, job.subject, job.name)
    if job.kind == "analysis":
        from workers.analyses.making import make_analysis

        return await make_analysis(record, job.tenant, job.subject, job.name)
    from workers.reporting.making import make_report

    return await make_report(record, job.tenant, job.subject, job.name)


async def drain(
    record: Record, *, idle_s: float = IDLE_S, stop: asyncio.Event | None = None, maker: Maker = make
) -> int:
    """Work on jobs until none was asked for during `idle_s`.

    Args:
        record: The record whose queue is drained.
        idle_s: How long to wait for the next one.
        stop: Set from outside to end after the job at hand.
        maker: What makes them.

    Returns:
        How many jobs were finished, made or refused.

    Raises:
        RedisUnavailable: If the queue does not answer; what was taken comes back to it by itself.
        StoreUnavailable: If the store does not answer; likewise.
    """
    stop = stop or asyncio.Event()
    num_finished = 0
    deadline_s = time.monotonic() + idle_s
    while not stop.is_set() and (left_s := deadline_s - time.monotonic()) > 0:
        job = await record.next_derived(min(1.0, left_s))
        if job is not None:
            await derive(record, job, maker)
            num_finished += 1
            deadline_s = time.monotonic() + idle_s
    return num_finished


async def derive(record: Record, job: Job, maker: Maker = make) -> None:
    """Work on one job and put what was made as a blob, or record why it cannot be made.

    Raises:
        RedisUnavailable: If what became of it cannot be recorded.
        StoreUnavailable: If the store does not answer.
    """
    what = f"{job.kind} {job.name} of {job.subject}"
    try:
        async with _held(record, job):
            made = await record.objects.put_blob(job.tenant, await maker(record, job))
    except (RedisUnavailable, StoreUnavailable):
        raise
    except (NotFound, ArtefactCorrupt, ValueError) as error:
        _log.warning("%s cannot be made: %s", what, error)
        await record.finish_derived(job, None, error=str(error))
    except Exception as error:  # noqa: BLE001 - the edge: a failure becomes a recorded state, not a loop
        _log.exception("%s failed", what)
        sentence = f"it failed unforeseen with {type(error).__name__}; the worker's log has the traceback"
        await record.finish_derived(job, None, error=sentence)
    else:
        _log.info("%s made: %d bytes", what, made.size_bytes)
        await record.finish_derived(job, made)


@asynccontextmanager
async def _held(record: Record, job: Job) -> AsyncIterator[None]:
    """Keep a job from going back to the queue while it is worked on."""

    async def hold() -> None:
        while True:
            await asyncio.sleep(HOLD_EVERY_S)
            with suppress(RedisUnavailable):
                await record.hold_derived(job)

    holding = asyncio.create_task(hold())
    try:
        yield
    finally:
        holding.cancel()


async def _run(idle_s: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    record = await Record.open(Settings(), check=False)
    try:
        await drain(record, idle_s=idle_s, stop=stop)
    finally:
        with suppress(RecordError):
            await record.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 when nothing is left to do, 1 if Redis or store are down."""
    parser = argparse.ArgumentParser(prog="python -m workers.derive", description=__doc__)
    parser.add_argument(
        "--idle", type=float, default=IDLE_S, metavar="SECONDS", help="end after this long without work"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        asyncio.run(_run(options.idle))
    except (RedisUnavailable, StoreUnavailable) as error:
        _log.error("%s", error)
        return EXIT_UNREACHABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
