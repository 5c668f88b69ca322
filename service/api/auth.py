"""Who calls: API keys as bearer tokens, or nobody in particular on this machine itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request

from service.api.errors import ApiError
from service.store.api_key_records import SCOPES

if TYPE_CHECKING:
    from service.api.context import Services

LOCAL_TENANT = "local"
_BEARER = re.compile(r"[Bb]earer +lth_([0-9A-Za-z]{8})_([0-9A-Za-z]{20,80})")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="lth"'}


@dataclass(frozen=True)
class Principal:
    """An authenticated caller.

    Attributes:
        tenant: Whose objects the caller sees.
        key_id: Public id of the API key; None for a caller on this machine without one.
        scopes: What the caller may do.
    """

    tenant: str
    key_id: str | None
    scopes: frozenset[str]

    @property
    def name(self) -> str:
        """Name under which the caller's requests are counted."""
        return self.key_id or f"tenant:{self.tenant}"

    def require(self, scope: str) -> None:
        """Refuse a caller who lacks a scope.

        Raises:
            ApiError: `missing_scope`.
        """
        if scope not in self.scopes:
            raise ApiError("missing_scope", f"this needs an API key with the scope {scope}")


async def authenticate(request: Request, services: Services) -> Principal:
    """Return who calls.

    Raises:
        ApiError: `unauthenticated`, the same for a missing, malformed, unknown, expired or revoked key;
            `rate_limited` after too many wrong keys from one address.
    """
    header = request.headers.get("authorization")
    if header is None:
        if services.open_access:
            return Principal(LOCAL_TENANT, None, frozenset(SCOPES))
        raise ApiError("unauthenticated", "an API key is needed", headers=_CHALLENGE)
    address = request.client.host if request.client else "socket"
    quota = services.settings.rate_bad_keys
    services.limiter.check("wrong-key", address, quota)
    match = _BEARER.fullmatch(header.strip())
    key = await services.record.check_api_key(match.group(1), match.group(2)) if match else None
    if key is None:
        services.limiter.take("wrong-key", address, quota)
        raise ApiError("unauthenticated", "the API key is not valid", headers=_CHALLENGE)
    return Principal(key.tenant, key.id, frozenset(key.scopes))
