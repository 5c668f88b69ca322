"""The process that makes the forms of a ticket that need torch: `python -m workers.exports` drains their queue."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from service.settings import Settings
from service.store.errors import ArtefactCorrupt, NotFound, RecordError, RedisUnavailable, StoreUnavailable
from service.store.exports import ExportJob
from service.store.record import Record
from workers.export_making import make_export

EXIT_UNREACHABLE = 1
IDLE_S = 30.0
"""How long it waits for the next export before it ends; torch in memory is not free."""

_log = logging.getLogger(__name__)


async def drain(record: Record, *, idle_s: float = IDLE_S, stop: asyncio.Event | None = None) -> int:
    """Make exports until none was asked for during `idle_s`.

    Args:
        record: The record whose queue is drained.
        idle_s: How long to wait for the next one.
        stop: Set from outside to end after the export at hand.

    Returns:
        How many exports were finished, made or refused.

    Raises:
        RedisUnavailable: If the queue does not answer; what was taken comes back to it by itself.
        StoreUnavailable: If the store does not answer; likewise.
    """
    stop = stop or asyncio.Event()
    num_finished = 0
    deadline_s = time.monotonic() + idle_s
    while not stop.is_set() and (left_s := deadline_s - time.monotonic()) > 0:
        job = await record.next_export(min(1.0, left_s))
        if job is not None:
            await export(record, job)
            num_finished += 1
            deadline_s = time.monotonic() + idle_s
    return num_finished


async def export(record: Record, job: ExportJob) -> None:
    """Make one export and put it as a blob, or record why it cannot be made.

    Raises:
        RedisUnavailable: If what became of it cannot be recorded.
        StoreUnavailable: If the store does not answer.
    """
    try:
        data = await make_export(record, job.tenant, job.ticket, job.format)
        made = await record.objects.put_blob(job.tenant, data)
    except (NotFound, ArtefactCorrupt, ValueError) as error:
        _log.warning("%s of %s cannot be made: %s", job.format, job.ticket, error)
        await record.finish_export(job, None, error=str(error))
    else:
        _log.info("%s of %s made: %d bytes", job.format, job.ticket, made.size_bytes)
        await record.finish_export(job, made)


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
    parser = argparse.ArgumentParser(prog="python -m workers.exports", description=__doc__)
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
