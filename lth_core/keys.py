"""Names of what is stored: the key of a lineage (what was computed) and the ids by which a search shows it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lth_core.canonical import digest_of

if TYPE_CHECKING:
    from lth_core.expansion import LineageSpec

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MAX_MS = 2**48


def lineage_key(tenant: str, lineage: LineageSpec) -> str:
    """Return the key under which a lineage's levels are stored, 64 hexadecimal digits.

    It names everything that enters the result's bits (model, data digest, train, prune without `levels`,
    rewind, treatment, replicate, device class and threads, numerics) and nothing else.
    """
    return digest_of({"tenant": tenant, **lineage.identity()})


def dense_key(tenant: str, lineage: LineageSpec) -> str:
    """Return the key of the lineage's level 0, which knows nothing of pruning or treatments."""
    return digest_of({"tenant": tenant, **lineage.dense_identity()})


def ulid(at: datetime, entropy: bytes) -> str:
    """Return a ULID, 26 characters: 48 bits of milliseconds, then 80 bits of entropy.

    Raises:
        ValueError: If the entropy is not 10 bytes, or the time lies outside 48 bits of milliseconds.
    """
    ms = round(at.timestamp() * 1000)
    if len(entropy) != 10:
        raise ValueError(f"entropy must be 10 bytes, got {len(entropy)}")
    if not 0 <= ms < _MAX_MS:
        raise ValueError(f"time must be >= 0 and < 2**48 ms, got {ms}")
    return _crockford(ms << 80 | int.from_bytes(entropy, "big"))


def ulid_time(text: str) -> datetime:
    """Return the time inside a ULID, or inside an id that ends with one."""
    number = 0
    for char in text[-26:][:10]:
        number = number << 5 | _CROCKFORD.index(char)
    return datetime.fromtimestamp(number / 1000, UTC)


def new_search_id(at: datetime, entropy: bytes) -> str:
    """Return a new search id; the claim that holds it makes it the search's."""
    return f"srch_{ulid(at, entropy)}"


def lineage_id(search_id: str, key: str, accepted_at: datetime) -> str:
    """Return the id of a lineage within a search: the same after every rebuild of the index."""
    return f"lin_{ulid(accepted_at, _entropy(search_id, key))}"


def ticket_id(search_id: str, key: str, level: int, committed_at: datetime) -> str:
    """Return the id of a ticket within a search: the same after every rebuild of the index."""
    return f"tkt_{ulid(committed_at, _entropy(search_id, key, str(level)))}"


def upload_id(content_sha256: str) -> str:
    """Return the id of an uploaded ticket, which its content names: it holds no time."""
    return f"upl_{_crockford(int(content_sha256[:32], 16))}"


def _crockford(number: int) -> str:
    """Write 128 bits as 26 digits of Crockford's base 32."""
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def _entropy(*parts: str) -> bytes:
    return hashlib.sha256("\n".join(parts).encode()).digest()[:10]
