"""Object stores by URL: a folder, memory, or a cloud store, with the time limits that the protocol needs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from obstore.store import LocalStore, MemoryStore, S3Store, from_url

from service.store.local_folder import LocalFolder

BULK_BYTES = 1024 * 1024
"""From this size on a transfer gets the patient client."""

_NO_RETRY: Any = {"max_retries": 0}
_QUICK = {"timeout": "2s", "connect_timeout": "1s"}
_PATIENT = {"timeout": "600s", "connect_timeout": "1s", "read_timeout": "10s"}


@dataclass(frozen=True)
class Backend:
    """One connection to an object store.

    Attributes:
        quick: Client for documents; gives up after 2 s.
        patient: Client for weights and data; gives up when no byte came for 10 s.
        folder: The guard of a local folder, None elsewhere.
        connect: Opens another connection of its own to the same store.
    """

    quick: Any
    patient: Any
    folder: LocalFolder | None
    connect: Callable[[], Backend]


def open_backend(url: str, **options: Any) -> Backend:
    """Connect to `memory://`, `file:///folder`, `s3://bucket/prefix`, or another URL that obstore knows.

    Args:
        url: Where the objects are.
        options: Settings of the cloud store (`endpoint`, `access_key_id`, ...); the environment's `AWS_...` fill gaps.

    Raises:
        ValueError: If the URL names no store.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return _memory(MemoryStore())
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/"):
            raise ValueError(f"store URL must be file:///absolute/folder, got {url!r}")
        return _local(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        return _s3(parts.netloc, parts.path.strip("/"), options)
    if parts.scheme in ("gs", "az", "abfs", "abfss"):
        return _cloud(url, options)
    raise ValueError(f"store URL must begin with memory, file, s3, gs or az, got {url!r}")


def _memory(store: Any) -> Backend:
    return Backend(store, store, None, lambda: _memory(store))


def _local(root: Path) -> Backend:
    folder = LocalFolder(root)
    store = LocalStore(folder.root)
    return Backend(store, store, folder, lambda: _local(root))


def _s3(bucket: str, prefix: str, options: dict[str, Any]) -> Backend:
    endpoint = options.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
    plain = {"allow_http": True} if endpoint.startswith("http://") else {}

    def client(limits: dict[str, str]) -> Any:
        limits_and_scheme: Any = {**limits, **plain}
        return S3Store(
            bucket, prefix=prefix or None, retry_config=_NO_RETRY, client_options=limits_and_scheme, **options
        )

    return Backend(client(_QUICK), client(_PATIENT), None, lambda: _s3(bucket, prefix, options))


def _cloud(url: str, options: dict[str, Any]) -> Backend:
    def client(limits: dict[str, str]) -> Any:
        everything: Any = {"retry_config": _NO_RETRY, "client_options": limits, **options}
        return from_url(url, **everything)

    return Backend(client(_QUICK), client(_PATIENT), None, lambda: _cloud(url, options))
