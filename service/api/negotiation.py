"""Content negotiation: which media type an `Accept` header prefers, and what `Prefer` asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from service.api.errors import ApiError

MAX_WAIT_S = 30
_WAIT = re.compile(r"^wait\s*=\s*\"?(\d{1,6})\"?$")
_QUALITY = re.compile(r"^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$")


def accepted(header: str | None) -> list[tuple[str, float]]:
    """Parse an `Accept` header into (media range, quality) pairs; what cannot be read is left out."""
    ranges: list[tuple[str, float]] = []
    for item in (header or "*/*").split(","):
        media_range, *parameters = [part.strip() for part in item.split(";")]
        if not media_range:
            continue
        quality = 1.0
        for parameter in parameters:
            name, _, text = parameter.partition("=")
            if name.strip().lower() == "q" and _QUALITY.match(text.strip()):
                quality = float(text)
        ranges.append((media_range.lower(), quality))
    return ranges or [("*/*", 1.0)]


def choose(header: str | None, offers: Sequence[str]) -> str:
    """Return the offered media type that the client likes best; among equals the earlier offer.

    Raises:
        ApiError: `not_acceptable`, if none of the offers is acceptable.
    """
    ranges = accepted(header)
    best = max(offers, key=lambda offer: (_quality(ranges, offer), -offers.index(offer)))
    if _quality(ranges, best) <= 0:
        raise ApiError("not_acceptable", f"this resource is available as {', '.join(offers)}")
    return best


def _quality(ranges: Sequence[tuple[str, float]], offer: str) -> float:
    matches: list[tuple[int, float]] = []
    for media_range, quality in ranges:
        if media_range == offer:
            matches.append((2, quality))
        elif media_range == f"{offer.partition('/')[0]}/*":
            matches.append((1, quality))
        elif media_range == "*/*":
            matches.append((0, quality))
    return max(matches, default=(0, 0.0))[1]


def wait_s(prefer: str | None) -> int:
    """Return the seconds that a `Prefer: wait=` header asks for, at most 30; 0 without one."""
    for item in (prefer or "").split(","):
        if match := _WAIT.match(item.strip().lower()):
            return min(int(match.group(1)), MAX_WAIT_S)
    return 0


def etag_matches(header: str | None, etag: str) -> bool:
    """Tell whether an `If-None-Match` header names this entity tag (weak comparison, RFC 9110)."""
    if header is None:
        return False
    if header.strip() == "*":
        return True
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return etag.removeprefix("W/") in tags
