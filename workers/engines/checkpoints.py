"""How far levels in training are, kept in `scratch/`: the death of an engine costs seconds instead of a level."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import structlog

from lth_core.canonical import digest_of
from lth_core.determinism import pin
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import NUMERICS_OF
from lth_core.engines.starting import or_reference
from lth_core.fingerprint import fingerprint
from service.store import keys
from service.store.errors import ObjectNotFound, RecordError
from service.store.objects import ObjectStore
from workers.bridge import Bridge
from workers.engines.orders import Order


class Checkpoints:
    """Writes and finds checkpoints; what cannot be written or read is done without.

    Args:
        objects: The object store.
        bridge: The loop in which it is used.
        environment: Digest of the environment: elsewhere a level would go on to other bits.
    """

    def __init__(self, objects: ObjectStore, bridge: Bridge, environment: str) -> None:
        self._objects = objects
        self._bridge = bridge
        self._environment = environment
        self._keys: dict[str, str] = {}
        self._writing: dict[str, Future[None]] = {}
        self._log = structlog.get_logger("checkpoints")

    @contextmanager
    def of(self, slot: str, order: Order) -> Iterator[Checkpoint | None]:
        """Give how far an order had come when an engine last wrote of it, and write of it while the context lasts."""
        self._keys[slot] = keys.scratch_checkpoint(order.tenant, order.key, order.level, self._environment)
        try:
            yield self._bridge.call(self._read(self._keys[slot]))
        finally:
            del self._keys[slot]
            self._writing.pop(slot, None)

    def write(self, slot: str, checkpoint: Checkpoint) -> None:
        """Begin to write a checkpoint, unless the one before is still being written."""
        key, before = self._keys.get(slot), self._writing.get(slot)
        if key is not None and (before is None or before.done()):
            self._writing[slot] = self._bridge.start(self._write(key, checkpoint.to_bytes()))

    async def _write(self, key: str, data: bytes) -> None:
        try:
            await self._objects.overwrite(key, data)
        except RecordError as error:
            self._log.warning("checkpoint not written", key=key, error=str(error))

    async def _read(self, key: str) -> Checkpoint | None:
        try:
            checkpoint = Checkpoint.from_bytes(await self._objects.get(key))
        except ObjectNotFound:
            return None
        except (RecordError, ValueError) as error:
            self._log.warning("checkpoint not read", key=key, error=str(error))
            return None
        self._log.info("level goes on", key=key, step=checkpoint.step)
        return checkpoint


def environment_of(device: str, threads: int) -> str:
    """Return the digest of the calling thread's environment for all kinds of engines."""
    pin(threads)
    return digest_of([fingerprint(device, os.environ, engine=or_reference(kind)) for kind in NUMERICS_OF])
