"""Canonical JSON and digests: the one byte form in which specs, manifests and records are hashed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

FORMAT = 1
"""Version of every stored JSON document; a reader refuses a format it does not know."""

NUMERICS = 4
"""Version of the newest arithmetic; which one a level is computed by stands in `lth_core.engines.choice`."""


def canonical_json(value: Any) -> bytes:
    """Encode a JSON value in the one form that is hashed: sorted keys, no spaces, UTF-8, finite numbers.

    Raises:
        ValueError: If a number is NaN or infinite, or a string holds a lone surrogate.
        TypeError: If a value is no JSON value.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of bytes as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return sha256_hex(canonical_json(value))
