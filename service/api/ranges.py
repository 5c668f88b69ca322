"""Single byte ranges of RFC 9110: `Range` and `If-Range` against a representation held in memory."""

from __future__ import annotations

import re

from service.api.errors import ApiError

_SINGLE = re.compile(r"^bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})$")


def byte_range(header: str | None, if_range: str | None, *, etag: str, size_bytes: int) -> slice | None:
    """Return the slice that a `Range` header selects, or None where the whole content is the answer.

    A header that is no single byte range is ignored, as RFC 9110 allows; so is any range when `If-Range` names
    another entity tag (or a date, as we send none).

    Raises:
        ApiError: `range_not_satisfiable`, if the range lies outside the content.
    """
    if header is None or (if_range is not None and if_range.strip() != etag):
        return None
    match = _SINGLE.match(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        start, stop = max(size_bytes - int(last), 0), size_bytes
        satisfiable = int(last) > 0 and size_bytes > 0
    else:
        start = int(first)
        stop = min(int(last) + 1, size_bytes) if last else size_bytes
        if last and int(last) < start:
            return None
        satisfiable = start < size_bytes
    if not satisfiable:
        raise ApiError(
            "range_not_satisfiable",
            f"the content has {size_bytes} bytes",
            headers={"Content-Range": f"bytes */{size_bytes}"},
        )
    return slice(start, stop)


def content_range(part: slice, size_bytes: int) -> str:
    """Return the `Content-Range` of a selected slice."""
    return f"bytes {part.start}-{part.stop - 1}/{size_bytes}"
