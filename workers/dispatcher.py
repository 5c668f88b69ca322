"""`python -m workers.dispatcher`: one leader at a time that keeps the cluster, the engine host and the drivers going.

Stop is crash and start is recovery: whatever the last leader left is killed, the index is brought up to the objects,
and every search that has not ended gets a driver again. This process imports neither ray nor torch.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket

import structlog

from service.settings import Settings
from service.store.errors import RecordError, StaleEpoch, StoreRefused
from service.store.lease import RENEW_EVERY_S, Lease
from service.store.record import Record
from workers import logs
from workers.reign import Reign

STAND_BY_S = 1.0
CANCEL_AGAIN_S = 1.0


class Dispatcher:
    """Stands by until it leads, reigns until it no longer may, and stands by again."""

    def __init__(self, record: Record, settings: Settings) -> None:
        self._record = record
        self._settings = settings
        self._stop = asyncio.Event()
        self._log = structlog.get_logger("dispatcher")

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    async def run(self) -> None:
        """Lead whenever possible, until told to stop."""
        owner = f"{socket.gethostname()}:{os.getpid()}"
        while not self._stop.is_set():
            try:
                lease = await self._record.lead(owner)
            except RecordError as error:
                self._log.warning("cannot ask for the lease", error=str(error))
                lease = None
            if lease is None:
                await self._pause(STAND_BY_S)
                continue
            self._log.info("leading", epoch=lease.epoch)
            await self._lead(lease)
            await lease.release()

    async def _lead(self, lease: Lease) -> None:
        reign = Reign(self._record, lease, self._settings)
        renewing = asyncio.create_task(self._renew(lease))
        stopping = asyncio.create_task(self._stop.wait())
        reigning = asyncio.create_task(reign.run())
        try:
            await asyncio.wait({renewing, stopping, reigning}, return_when=asyncio.FIRST_COMPLETED)
            if reigning.done():
                with contextlib.suppress(StaleEpoch):
                    reigning.result()
        finally:
            for task in (renewing, stopping):
                task.cancel()
            await _end(reigning)
            reign.end()

    async def _renew(self, lease: Lease) -> None:
        """Return when leading is no longer allowed."""
        while lease.ok():
            with contextlib.suppress(RecordError):
                await lease.renew()
            for _ in range(int(RENEW_EVERY_S)):
                await asyncio.sleep(1.0)
                if not lease.ok():
                    break
        self._log.warning("lease lost", epoch=lease.epoch)

    async def _pause(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stop.wait()


async def _end(reigning: asyncio.Task[None]) -> None:
    """Cancel a reign until it has ended: a call that times out at the same moment may take the wish for its own."""
    while not reigning.done():
        reigning.cancel()
        await asyncio.wait({reigning}, timeout=CANCEL_AGAIN_S)
    with contextlib.suppress(asyncio.CancelledError, RecordError):
        reigning.result()


async def _main(settings: Settings) -> None:
    record = await Record.open(settings)
    try:
        dispatcher = Dispatcher(record, settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, dispatcher.stop)
        await dispatcher.run()
    finally:
        await record.close()


def main() -> None:
    """Run until SIGTERM."""
    settings = Settings()
    logs.configure(settings, process="dispatcher")
    try:
        asyncio.run(_main(settings))
    except StoreRefused as error:
        raise SystemExit(f"the dispatcher does not start: {error}") from None


if __name__ == "__main__":
    main()
