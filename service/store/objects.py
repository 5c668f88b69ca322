"""The object store: facts that are created once, read back verified, and never overwritten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from lth_core.canonical import sha256_hex
from service.store import keys
from service.store.backends import BULK_BYTES, Backend, open_backend
from service.store.errors import ArtefactCorrupt, ObjectNotFound, StoreUnavailable

Names = list[str]

MAX_TRIES = 3
"""How often an unknown answer to a conditional put is looked into before it becomes an error."""


@dataclass(frozen=True)
class ObjectInfo:
    """What a HEAD says of an object."""

    size_bytes: int


@dataclass(frozen=True)
class BlobRef:
    """The name of a blob, which is the digest of its bytes, and its size."""

    sha256: str
    size_bytes: int


class ObjectStore:
    """Objects under checked keys, on any store whose conditional puts the self-test has accepted."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.held: str | None = None
        """Why nothing may be written yet, None once the self-test has accepted the store."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> ObjectStore:
        """Connect to a store by URL; `options` go to the cloud client.

        Raises:
            ValueError: If the URL names no store.
        """
        return cls(open_backend(url, **options))

    def connect_anew(self) -> ObjectStore:
        """Return the same store over connections of its own."""
        return ObjectStore(self._backend.connect())

    async def create(self, key: str, data: bytes) -> bool:
        """Create an object if none is there, durably; return whether it was created now.

        Raises:
            StoreUnavailable: If the answer is unknown: the object may exist or not.
        """
        self._check(key)
        if self.held is not None:
            raise StoreUnavailable(self.held)
        try:
            async with _translated(key):
                await obstore.put_async(self._client(len(data)), key, data, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        await self._make_durable(key)
        return True

    async def put_if_absent(self, key: str, data: bytes) -> tuple[bytes, bool]:
        """Create an object if none is there; return the bytes that stand and whether they are ours.

        An earlier try of ours whose answer was lost counts as ours: unknown answers are read back and compared.

        Raises:
            StoreUnavailable: If it stays unknown what stands.
        """
        failure: StoreUnavailable | None = None
        for _ in range(MAX_TRIES):
            try:
                if await self.create(key, data):
                    return data, True
            except StoreUnavailable as error:
                failure = error
            try:
                standing = await self.get(key)
                await self._make_durable(key)
            except ObjectNotFound:
                continue
            return standing, standing == data
        raise failure or StoreUnavailable(f"conditional put of {key} found no winner")

    async def get(self, key: str) -> bytes:
        """Read an object whole.

        Raises:
            ObjectNotFound: If there is none.
            StoreUnavailable: If the store cannot say.
        """
        self._check(key)
        async with _translated(key):
            result = await obstore.get_async(self._backend.quick, key)
            if result.meta["size"] > BULK_BYTES and self._backend.patient is not self._backend.quick:
                result = await obstore.get_async(self._backend.patient, key)
            data = bytes(await result.bytes_async())
            if len(data) != result.meta["size"]:
                raise StoreUnavailable(f"{key} was cut short: {len(data)} of {result.meta['size']} bytes")
            return data

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read `length` bytes from `start`.

        Raises:
            ObjectNotFound: If there is no such object.
            StoreUnavailable: If the store cannot say, or does not answer a range with that range.
        """
        self._check(key)
        async with _translated(key):
            client = self._client(length)
            data = bytes(await obstore.get_range_async(client, key, start=start, length=length))
            if len(data) != length:
                raise StoreUnavailable(f"{key}: asked for {length} bytes, got {len(data)}")
            return data

    async def head(self, key: str) -> ObjectInfo:
        """Return an object's size.

        Raises:
            ObjectNotFound: If there is none.
            StoreUnavailable: If the store cannot say.
        """
        self._check(key)
        async with _translated(key):
            return ObjectInfo(int((await obstore.head_async(self._backend.quick, key))["size"]))

    async def list(self, prefix: str) -> Names:
        """List the keys below a prefix that ends with `/`, sorted; a hint, as a store may lag behind."""
        self._check(prefix)
        async with _translated(prefix):
            stream = obstore.list(self._backend.quick, prefix=prefix, chunk_size=1000)
            return sorted([meta["path"] async for chunk in stream for meta in chunk])

    async def list_folders(self, prefix: str) -> Names:
        """List the names one level below a prefix that ends with `/`, sorted."""
        self._check(prefix)
        async with _translated(prefix):
            result = await obstore.list_with_delimiter_async(self._backend.quick, prefix=prefix)
            return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in result["common_prefixes"])

    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        self._check(key)
        try:
            async with _translated(key):
                await obstore.delete_async(self._backend.quick, key)
        except ObjectNotFound:
            return

    async def overwrite(self, key: str, data: bytes) -> None:
        """Write a disposable object below `scratch/`, whatever was there.

        Raises:
            ValueError: If the key lies anywhere else.
            StoreUnavailable: If the store does not take it.
        """
        if not key.startswith("scratch/"):
            raise ValueError(f"only scratch/ may be overwritten, got {key!r}")
        if self.held is not None:
            raise StoreUnavailable(self.held)
        self._check(key)
        async with _translated(key):
            await obstore.put_async(self._client(len(data)), key, data, mode="overwrite", use_multipart=False)

    async def put_blob(self, tenant: str, data: bytes) -> BlobRef:
        """Store bytes under their digest; storing them again changes nothing.

        Raises:
            ArtefactCorrupt: If other bytes stand under this digest.
            StoreUnavailable: If it stays unknown what stands.
        """
        ref = BlobRef(sha256_hex(data), len(data))
        key = keys.blob(tenant, ref.sha256)
        if not await self._has(key, ref.size_bytes):
            standing, ours = await self.put_if_absent(key, data)
            if not ours:
                raise ArtefactCorrupt(f"blob {ref.sha256}: {len(standing)} other bytes stand under this digest")
        return ref

    async def get_blob(self, tenant: str, sha256: str) -> bytes:
        """Read a blob and check its digest; a mismatch is read a second time, as the link may be at fault.

        Raises:
            ObjectNotFound: If there is none.
            ArtefactCorrupt: If its bytes do not match its name.
        """
        key = keys.blob(tenant, sha256)
        for _ in range(2):
            data = await self.get(key)
            if sha256_hex(data) == sha256:
                return data
        raise ArtefactCorrupt(f"blob {sha256} does not match its digest")

    async def ping(self) -> None:
        """Ask the store for a sign of life.

        Raises:
            StoreUnavailable: If there is none.
        """
        try:
            await self.head("scratch/ping")
        except ObjectNotFound:
            return

    async def _has(self, key: str, size_bytes: int) -> bool:
        """Tell whether a large object is there already, so that its bytes need not travel again."""
        if size_bytes <= BULK_BYTES:
            return False
        try:
            info = await self.head(key)
        except ObjectNotFound:
            return False
        await self._make_durable(key)
        return info.size_bytes == size_bytes

    def _client(self, size_bytes: int) -> Any:
        return self._backend.patient if size_bytes > BULK_BYTES else self._backend.quick

    def _check(self, key: str) -> None:
        if self._backend.folder is not None:
            self._backend.folder.check(key)

    async def _make_durable(self, key: str) -> None:
        if self._backend.folder is None:
            return
        try:
            await asyncio.to_thread(self._backend.folder.sync, key)
        except FileNotFoundError as error:
            raise ObjectNotFound(key) from error
        except OSError as error:
            raise StoreUnavailable(f"{key} could not be made durable: {error.strerror}") from error


@asynccontextmanager
async def _translated(key: str) -> AsyncIterator[None]:
    """Turn obstore's errors into ours; anything but an answer is unknown. AlreadyExists passes."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFound(key) from error
    except AlreadyExistsError:
        raise
    except (BaseError, OSError) as error:
        raise StoreUnavailable(f"{key}: {type(error).__name__}") from error
