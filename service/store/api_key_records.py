"""API keys as records: hashed with a pepper, compared in constant time, revoked by a record of their own."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import string
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from lth_core.canonical import FORMAT, canonical_json
from service.store import clock, keys
from service.store.errors import ObjectNotFound, UnknownFormat
from service.store.objects import ObjectStore

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
SECRET_BYTES = 32
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_NOBODY = "0" * 64


@dataclass(frozen=True)
class ApiKey:
    """What is kept of an API key; the secret itself is not.

    Attributes:
        id: Public part of the key.
        tenant: Whose key it is.
        scopes: What it allows.
        name: What people call it.
        hash: HMAC-SHA256 of the secret under the pepper, in hexadecimal.
        created_at: When it was made.
        expires_at: When it ends by itself.
        revoked_at: When it was revoked.
    """

    id: str
    tenant: str
    scopes: tuple[str, ...]
    name: str
    hash: str
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None

    def active(self, at: datetime) -> bool:
        """Tell whether the key is neither revoked nor expired at a time."""
        return self.revoked_at is None and (self.expires_at is None or clock.from_text(self.expires_at) > at)

    def document(self) -> dict[str, Any]:
        """The key as its owner may see it, without the hash."""
        shown = {name: value for name, value in self.__dict__.items() if name != "hash"}
        return {"object": "api_key", **shown, "scopes": list(self.scopes)}

    def to_bytes(self) -> bytes:
        """Encode it as it is stored and indexed."""
        return canonical_json({"format": FORMAT, **self.__dict__, "scopes": list(self.scopes)})

    @classmethod
    def from_bytes(cls, raw: bytes) -> ApiKey:
        """Decode a stored key.

        Raises:
            UnknownFormat: If a later version wrote it.
        """
        document = json.loads(raw)
        if document.pop("format", None) != FORMAT:
            raise UnknownFormat("API key record of an unknown format")
        return cls(**{**document, "scopes": tuple(document["scopes"])})


def new_key(
    tenant: str, scopes: tuple[Scope, ...], pepper: bytes, *, name: str, expires_at: datetime | None
) -> tuple[ApiKey, str]:
    """Make a key; return its record and the text that its owner sees once."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    secret = _base62(secrets.token_bytes(SECRET_BYTES))
    record = ApiKey(
        key_id,
        tenant,
        tuple(scopes),
        name,
        hash_secret(secret, pepper),
        clock.to_text(clock.now()),
        None if expires_at is None else clock.to_text(expires_at),
    )
    return record, f"lth_{key_id}_{secret}"


def hash_secret(secret: str, pepper: bytes) -> str:
    """Return the HMAC-SHA256 of a secret under the pepper, in hexadecimal."""
    return hmac.new(pepper, secret.encode(), hashlib.sha256).hexdigest()


def secret_matches(record: ApiKey | None, secret: str, pepper: bytes) -> bool:
    """Compare a secret with a key's hash, taking as long where there is no such key."""
    expected = _NOBODY if record is None else record.hash
    equal = hmac.compare_digest(hash_secret(secret, pepper), expected)
    return equal and record is not None


def load_pepper(path: Path) -> bytes:
    """Read the pepper, making it (readable by its owner only) if there is none yet.

    Raises:
        ValueError: If the file is shorter than 32 bytes.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        pass
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return load_pepper(path)
    else:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
    pepper = path.read_bytes()
    if len(pepper) < SECRET_BYTES:
        raise ValueError(f"{path} must hold at least {SECRET_BYTES} bytes, holds {len(pepper)}")
    return pepper


async def stored_key(objects: ObjectStore, key_id: str) -> ApiKey | None:
    """Read a key and its revocation from the objects, None if there is none."""
    try:
        record = ApiKey.from_bytes(await objects.get(keys.api_key(key_id)))
    except ObjectNotFound:
        return None
    try:
        revocation = json.loads(await objects.get(keys.api_key_revocation(key_id)))
    except ObjectNotFound:
        return record
    return replace(record, revoked_at=revocation["revoked_at"])


async def stored_keys(objects: ObjectStore) -> list[ApiKey]:
    """Read all keys from the objects, the oldest first."""
    names = [name for name in await objects.list("keys/") if not name.endswith(".revoked.json")]
    found = [await stored_key(objects, name.removeprefix("keys/").removesuffix(".json")) for name in names]
    return sorted((record for record in found if record is not None), key=lambda record: record.created_at)


def _base62(data: bytes) -> str:
    number, digits = int.from_bytes(data, "big"), ""
    for _ in range(43):
        number, rest = divmod(number, 62)
        digits = _ALPHABET[rest] + digits
    return digits
