"""Answers as the routes send them: JSON documents with entity tags, pages with links, files with ranges."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response

from service.api.negotiation import choose, etag_matches
from service.api.params import Conditions
from service.api.ranges import byte_range, content_range


def encode(value: Any) -> bytes:
    """Return a JSON document's bytes: UTF-8, no spaces, finite numbers."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def as_json(
    request: Request,
    value: Any,
    status: int = 200,
    *,
    headers: Mapping[str, str] | None = None,
    etag: bool = False,
    if_none_match: str | None = None,
    chosen: bool = False,
) -> Response:
    """Answer with a JSON document, or with 304 where `If-None-Match` names its entity tag.

    Args:
        request: What is answered.
        value: The document.
        status: The HTTP status.
        headers: Extra headers.
        etag: Whether to send an entity tag.
        if_none_match: Entity tags of the client; 304 is the answer to one that still holds.
        chosen: Whether JSON has been chosen already, so that `Accept` is not looked at again.

    Raises:
        ApiError: `not_acceptable`, if the client takes no JSON.
    """
    if not chosen:
        choose(request.headers.get("accept"), ("application/json",))
    body = encode(value)
    sent = {"Cache-Control": "private, no-cache", **degraded_header(value), **(headers or {})}
    if etag:
        sent["ETag"] = tag = entity_tag(body)
        if status == 200 and etag_matches(if_none_match, tag):
            return Response(status_code=304, headers=sent)
    return Response(body, status, sent, "application/json")


def entity_tag(body: bytes) -> str:
    """Return the strong entity tag of these bytes."""
    return f'"sha256-{hashlib.sha256(body).hexdigest()}"'


def degraded_header(source: Any) -> dict[str, str]:
    """Say which part was down when a document or page was read, if one was."""
    part = getattr(source, "degraded", None)
    return {"X-LTH-Degraded": part} if part else {}


def as_page(
    request: Request,
    data: list[Any],
    next_after: str | None,
    *,
    headers: Mapping[str, str] | None = None,
    chosen: bool = False,
) -> Response:
    """Answer with one page of a list and the link to the next one."""
    page = {"data": data, "has_more": next_after is not None, "next_after": next_after}
    sent = dict(headers or {})
    if next_after is not None:
        rest = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
        sent["Link"] = f'<{request.url.path}?{urlencode([*rest, ("after", next_after)])}>; rel="next"'
    return as_json(request, page, headers=sent, chosen=chosen)


def as_file(
    request: Request,
    conditions: Conditions,
    data: bytes,
    *,
    media_type: str,
    filename: str,
    final: bool = True,
    inline: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with a file: strong entity tag, digest, and one byte range if asked for.

    Args:
        request: What is answered.
        conditions: The headers that make it conditional or partial.
        data: The whole content.
        media_type: Its type.
        filename: Name under which it is saved.
        final: Whether these bytes never change, so that they may be cached for good.
        inline: Whether a browser may show it instead of saving it.
        headers: Extra headers.

    Raises:
        ApiError: `range_not_satisfiable`, if the range lies outside the content.
    """
    digest = hashlib.sha256(data)
    etag = f'"sha256-{digest.hexdigest()}"'
    sent = {
        "ETag": etag,
        "Repr-Digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
        "Cache-Control": "private, immutable, max-age=31536000" if final else "private, no-cache",
        "Vary": "Accept",
        "Accept-Ranges": "bytes",
        **(headers or {}),
    }
    if etag_matches(conditions.if_none_match, etag):
        return Response(status_code=304, headers=sent)
    sent["Content-Disposition"] = f'{"inline" if inline else "attachment"}; filename="{filename}"'
    part = None
    if request.method == "GET":
        part = byte_range(conditions.range, conditions.if_range, etag=etag, size_bytes=len(data))
    if part is None:
        return Response(data, 200, sent, media_type)
    sent["Content-Range"] = content_range(part, len(data))
    return Response(data[part], 206, sent, media_type)
