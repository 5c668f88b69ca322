"""Opaque page cursors: the position behind the last item, bound to the list it belongs to."""

from __future__ import annotations

import base64
import binascii
import json

from service.api.errors import ApiError

MAX_CURSOR_CHARS = 512


def encode(kind: str, position: str) -> str:
    """Return the cursor of a position in a list of this kind."""
    text = json.dumps([kind, position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(kind: str, cursor: str | None) -> str | None:
    """Return the position inside a cursor, or None without one.

    Raises:
        ApiError: `bad_cursor`, if it is none of this list's.
    """
    if cursor is None:
        return None
    bad = ApiError("bad_cursor", "the cursor was not issued for this list")
    if not 0 < len(cursor) <= MAX_CURSOR_CHARS:
        raise bad
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        value = json.loads(data)
    except (binascii.Error, ValueError):
        raise bad from None
    if not (isinstance(value, list) and len(value) == 2 and value[0] == kind and isinstance(value[1], str)):
        raise bad
    if encode(kind, value[1]) != cursor:
        raise bad
    return value[1]
