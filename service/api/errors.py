"""The one table of problems: every code the service answers with, its HTTP status, and which failure leads to it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lth_core.cells import SpecError
from service.store import errors as record

RETRY_AFTER_S = 5
"""Seconds a client is asked to wait when a part of the service is away."""


@dataclass(frozen=True)
class ProblemKind:
    """What a problem code means: its HTTP status, its title, and what the client can do about it."""

    status: int
    title: str
    advice: str


PROBLEMS: dict[str, ProblemKind] = {
    "bad_json": ProblemKind(400, "The body is not acceptable JSON", "Send one strict JSON object in UTF-8."),
    "bad_request": ProblemKind(400, "The request cannot be understood", "Correct the request line or headers."),
    "unauthenticated": ProblemKind(401, "A valid API key is needed", "Send `Authorization: Bearer lth_...`."),
    "missing_scope": ProblemKind(403, "The API key lacks a scope", "Use a key that has the scope named in detail."),
    "cross_origin": ProblemKind(403, "Cross-site requests are refused", "Call the service by its loopback name."),
    "not_found": ProblemKind(404, "There is no such thing", "Check the address; other tenants' objects are not shown."),
    "not_kept": ProblemKind(404, "This artefact was not kept", "Search again with a wider `spec.keep`."),
    "method_not_allowed": ProblemKind(405, "The method is not allowed here", "Use a method listed in `Allow`."),
    "not_acceptable": ProblemKind(406, "No acceptable representation", "Ask for a media type named in detail."),
    "already_terminal": ProblemKind(409, "The search has already ended", "Its end is final; submit a new search."),
    "export_failed": ProblemKind(409, "This form cannot be made", "Take another format; detail names the reason."),
    "not_possible": ProblemKind(409, "This cannot be derived", "Detail names what it would need."),
    "body_too_large": ProblemKind(413, "The body is too large", "Stay within the bound named in detail."),
    "unsupported_media_type": ProblemKind(
        415, "The body's media type is not supported", "Send the media type named in detail."
    ),
    "range_not_satisfiable": ProblemKind(416, "The range lies outside the content", "See `Content-Range`."),
    "invalid_spec": ProblemKind(422, "The body is not valid", "Correct the members named in errors."),
    "unknown_dataset": ProblemKind(422, "The data set is not registered", "Register it with `lth data add`."),
    "unknown_ticket": ProblemKind(422, "There is no such ticket to transfer", "Name a ticket of your own."),
    "unknown_upload": ProblemKind(422, "There is no such upload", "Upload the ticket by POST /v1/tickets."),
    "bad_upload": ProblemKind(422, "The uploaded ticket is not valid", "Correct the parts named in errors."),
    "idempotency_key_reused": ProblemKind(
        422, "The Idempotency-Key belongs to another request", "Use a new key for a new request."
    ),
    "too_many_lineages": ProblemKind(
        422, "The spec expands to more lineages than allowed", "Use fewer grid values, replicates or treatments."
    ),
    "too_large_for_quota": ProblemKind(422, "The search can never fit the quota", "Make the search smaller."),
    "budget_too_small": ProblemKind(422, "The budget is too small for the search", "Raise the budget."),
    "bad_cursor": ProblemKind(422, "The cursor is not one of ours", "Use `next_after` of the page before."),
    "bad_filter": ProblemKind(422, "A query parameter is not valid", "Correct the parameters named in errors."),
    "bad_header": ProblemKind(422, "A request header is not valid", "Correct the headers named in errors."),
    "bad_event_id": ProblemKind(422, "The event position is not one of ours", "Resume by an `id` you were sent."),
    "rate_limited": ProblemKind(429, "Too many requests", "Wait for `Retry-After` seconds."),
    "quota_exhausted": ProblemKind(429, "The quota is used up for now", "Wait until running work has ended."),
    "too_many_streams": ProblemKind(429, "Too many event streams", "Close a stream, or read the pages."),
    "unexpected": ProblemKind(500, "An unforeseen error", "Repeat; if it stays, report the request_id."),
    "not_supported": ProblemKind(501, "Known, but not supported", "See /v1/catalog for what is supported."),
    "artefact_corrupt": ProblemKind(
        502, "A stored artefact does not verify", "Wrong bytes are never served; see the logs of the store."
    ),
    "redis": ProblemKind(503, "The index is not reachable", "Repeat after `Retry-After` seconds."),
    "store": ProblemKind(503, "The object store is not reachable", "Repeat after `Retry-After` seconds."),
    "starting": ProblemKind(503, "The service is starting", "Repeat after `Retry-After` seconds."),
    "draining": ProblemKind(503, "The service is stopping", "Repeat after `Retry-After` seconds."),
}

STATUS_CODES: dict[int, str] = {
    400: "bad_request",
    401: "unauthenticated",
    403: "missing_scope",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "body_too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    422: "bad_filter",
    429: "rate_limited",
}
"""The code of an error that the framework raised by status alone."""


class ApiError(Exception):
    """A refusal with its code, a detail for people, pointers into the request, and headers to send along.

    Args:
        code: A key of `PROBLEMS`.
        detail: One sentence with the bound and the value.
        errors: Objects `{"pointer", "detail"}`, one per offending member.
        headers: Extra response headers.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        assert code in PROBLEMS, code
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = tuple(dict(error) for error in errors)
        self.headers = dict(headers or {})
        if PROBLEMS[code].status in (429, 503):
            self.headers.setdefault("Retry-After", str(RETRY_AFTER_S))

    @property
    def status(self) -> int:
        """The HTTP status of this problem."""
        return PROBLEMS[self.code].status


def slug(code: str) -> str:
    """Return the last part of a problem's type address."""
    return code.replace("_", "-")


def problem(error: ApiError, *, instance: str, request_id: str) -> dict[str, Any]:
    """Return the RFC 9457 document of a refusal."""
    document: dict[str, Any] = {
        "type": f"/problems/{slug(error.code)}",
        "title": PROBLEMS[error.code].title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "instance": instance,
        "request_id": request_id,
    }
    if error.errors:
        document["errors"] = list(error.errors)
    return document


_FAILURES: dict[type[record.RecordError], str] = {
    record.NotFound: "not_found",
    record.NotKept: "not_kept",
    record.UnknownDataset: "unknown_dataset",
    record.UnknownTicket: "unknown_ticket",
    record.UnknownUpload: "unknown_upload",
    record.IdempotencyKeyReused: "idempotency_key_reused",
    record.AlreadyTerminal: "already_terminal",
    record.TooManyLineages: "too_many_lineages",
    record.TooLargeForQuota: "too_large_for_quota",
    record.QuotaExceeded: "quota_exhausted",
    record.BadCursor: "bad_cursor",
    record.ExportFailed: "export_failed",
    record.NotPossible: "not_possible",
    record.RedisUnavailable: "redis",
    record.StoreUnavailable: "store",
    record.ObjectNotFound: "artefact_corrupt",
    record.ArtefactCorrupt: "artefact_corrupt",
    record.UnknownFormat: "artefact_corrupt",
}
"""Which code a failure of the record leads to."""

_POINTERS: dict[str, str] = {
    "unknown_dataset": "/spec/dataset/name",
    "unknown_ticket": "/spec/init/ticket",
    "unknown_upload": "/spec/init/upload",
}
"""Which member of the body such a failure is about."""

_DETAILS = {
    "not_found": "there is no such object, or it belongs to somebody else",
    "redis": "the index is not reachable; reads are served from the object store where possible",
    "store": "the object store is not reachable",
    "artefact_corrupt": "a stored artefact is missing or does not match its digest; it is not served",
}
"""What a client reads where the failure's own words would tell of the inside."""


def translate(failure: Exception) -> ApiError | None:
    """Return the refusal that a known failure leads to, or None for one that no rule foresees."""
    if isinstance(failure, ApiError):
        return failure
    if isinstance(failure, SpecError):
        errors = [{"pointer": f"/spec{failure.pointer}", "detail": failure.detail}]
        return ApiError("invalid_spec", f"/spec{failure.pointer} {failure.detail}", errors=errors)
    for kind in type(failure).__mro__:
        if code := _FAILURES.get(kind):
            headers = {}
            if isinstance(failure, record.QuotaExceeded):
                headers["Retry-After"] = str(math.ceil(failure.retry_after_s))
            detail = _DETAILS.get(code) or str(failure)
            errors = [{"pointer": _POINTERS[code], "detail": detail}] if code in _POINTERS else []
            return ApiError(code, detail, errors=errors, headers=headers)
    return None
