"""API keys in the record: made, found, listed and revoked; the objects hold them, the index answers quickly."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any

from lth_core.canonical import FORMAT, canonical_json
from service.store import clock, keys
from service.store.api_key_records import (
    SCOPES,
    ApiKey,
    Scope,
    load_pepper,
    new_key,
    secret_matches,
    stored_key,
    stored_keys,
)
from service.store.core import Core
from service.store.errors import NotFound, RedisUnavailable


class ApiKeys(Core):
    """The part of the record that knows who may call."""

    @cached_property
    def pepper(self) -> bytes:
        """The secret under which all keys are hashed, from the file that the settings name."""
        return load_pepper(self.settings.pepper_file)

    async def create_api_key(
        self,
        tenant: str,
        scopes: tuple[Scope, ...] = ("read", "write"),
        *,
        name: str = "",
        expires_at: datetime | None = None,
    ) -> tuple[dict[str, Any], str]:
        """Make an API key; return its document and the key itself, which is never shown again.

        Raises:
            ValueError: If a scope is unknown or the tenant's name malformed.
            StoreUnavailable: If it is unknown whether it was stored.
        """
        if not scopes or set(scopes) - set(SCOPES):
            raise ValueError(f"scopes must be some of {', '.join(SCOPES)}, got {', '.join(scopes) or 'none'}")
        keys.searches(tenant)
        record, text = new_key(tenant, scopes, self.pepper, name=name, expires_at=expires_at)
        await self.objects.put_if_absent(keys.api_key(record.id), record.to_bytes())
        with suppress(RedisUnavailable):  # found in the store until the next rebuild
            await self.mirror.put("keys", record.id, record.to_bytes(), once=False)
        return record.document(), text

    async def api_keys(self) -> list[dict[str, Any]]:
        """Return the documents of all keys, the oldest first, revoked ones included.

        Raises:
            StoreUnavailable: If the store does not answer.
        """
        return [record.document() for record in await stored_keys(self.objects)]

    async def revoke_api_key(self, key_id: str) -> dict[str, Any]:
        """Revoke a key for ever; revoking it again changes nothing.

        Raises:
            NotFound: If there is no such key.
            StoreUnavailable: If it is unknown whether it is revoked.
            RedisUnavailable: If the revocation is stored but the index may still know the key; repeat it.
        """
        if not keys.is_key_id(key_id) or await stored_key(self.objects, key_id) is None:
            raise NotFound("there is no such API key")
        revocation = canonical_json({"format": FORMAT, "id": key_id, "revoked_at": clock.to_text(clock.now())})
        await self.objects.put_if_absent(keys.api_key_revocation(key_id), revocation)
        record = await stored_key(self.objects, key_id)
        assert record is not None
        await self.mirror.put("keys", record.id, record.to_bytes(), once=False)
        return record.document()

    async def find_api_key(self, key_id: str) -> ApiKey | None:
        """Return a key's record by its public id, None if there is none; expired and revoked ones are returned too.

        Raises:
            StoreUnavailable: If neither index nor store can say.
        """
        if not keys.is_key_id(key_id):
            return None
        try:
            raw = await self.index.read_one(lambda pipe, own: pipe.hget(f"{own}keys", key_id))
        except RedisUnavailable:
            raw = None
        return ApiKey.from_bytes(raw) if raw else await stored_key(self.objects, key_id)

    async def check_api_key(self, key_id: str, secret: str) -> ApiKey | None:
        """Return the record of an active key whose secret this is, None otherwise, in the same time for both.

        Raises:
            StoreUnavailable: If neither index nor store can say.
        """
        record = await self.find_api_key(key_id)
        matches = secret_matches(record, secret, self.pepper)
        return record if record is not None and matches and record.active(clock.now()) else None
