"""Time as the record writes it: UTC, milliseconds, RFC 3339 with Z."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time in UTC, cut to milliseconds."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def to_text(moment: datetime) -> str:
    """Write a time as `2026-11-22T09:10:11.042Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def from_text(text: str) -> datetime:
    """Read a time that `to_text` or any RFC 3339 writer made.

    Raises:
        ValueError: If it is no time, or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time must carry an offset, got {text!r}")
    return moment.astimezone(UTC)
