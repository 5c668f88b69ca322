"""What can go wrong between a client and the service: one exception class per problem code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

CODES: dict[str, str] = {
    "bad_json": "The body is not JSON that the service accepts.",
    "bad_request": "The request line or its headers cannot be understood.",
    "bad_header": "A request header is not valid.",
    "unauthenticated": "The request carries no valid API key.",
    "missing_scope": "The API key may not do this.",
    "cross_origin": "A loopback service refuses requests from foreign web pages.",
    "not_found": "There is no such object, or it belongs to somebody else.",
    "not_kept": "The search did not keep this artefact.",
    "method_not_allowed": "The path does not know this method.",
    "not_acceptable": "None of the accepted media types can be served.",
    "already_terminal": "The search has ended and never changes again.",
    "not_terminal": "The search has not ended yet.",
    "nothing_failed": "There is no failed lineage to retry.",
    "precondition_failed": "The settings changed in the meantime.",
    "body_too_large": "The body is larger than the service accepts.",
    "unsupported_media_type": "The body has a media type that the service does not read.",
    "range_not_satisfiable": "The range lies outside the file.",
    "invalid_spec": "The spec breaks a rule.",
    "unknown_dataset": "The data set is not registered.",
    "idempotency_key_reused": "The Idempotency-Key was used for another body.",
    "too_many_lineages": "The spec expands to more lineages than allowed.",
    "budget_too_small": "The budget cannot hold the search.",
    "too_large_for_quota": "The search can never fit the quota.",
    "bad_cursor": "The page cursor is not one of the service's.",
    "bad_filter": "A query parameter is not valid.",
    "bad_event_id": "The event position is not one of the service's.",
    "precondition_required": "The change needs an If-Match header.",
    "rate_limited": "Too many requests in a short time.",
    "quota_exhausted": "The quota is used up for now.",
    "too_many_streams": "Too many event streams are open.",
    "unexpected": "The service met an error it did not foresee.",
    "not_supported": "The catalog says that this is not supported.",
    "artefact_corrupt": "A stored artefact does not have its digest.",
    "export_failed": "A worker could not make this form of the ticket.",
    "not_possible": "What the search kept does not allow it.",
    "unknown_ticket": "The ticket to be transferred does not exist.",
    "unknown_upload": "The upload to be transferred does not exist.",
    "bad_upload": "The uploaded ticket breaks a rule.",
    "redis": "The index is down; reads still work.",
    "store": "The object store is down.",
    "starting": "The service is starting.",
    "draining": "The service is stopping.",
}


class LthError(Exception):
    """Anything that the client raises on purpose."""


class ServiceUnreachable(LthError):  # noqa: N818 - reads as a sentence, like its siblings
    """No answer from the service, after all retries."""


class SearchFailed(LthError):  # noqa: N818 - the documented name
    """The search that was waited for ended as `failed`."""

    def __init__(self, message: str, document: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.document = document


class SearchCancelled(SearchFailed):
    """The search that was waited for was cancelled."""


class WaitTimeout(LthError):  # noqa: N818 - the documented name
    """The search did not end within the given time; it goes on."""


class DigestMismatch(LthError):  # noqa: N818 - reads as a sentence, like its siblings
    """Downloaded bytes are not the ones that the ticket names."""


class ProblemError(LthError):
    """An answer of the service that says no, as problem details (RFC 9457).

    Attributes:
        status: HTTP status.
        code: Machine-readable name; a code this client does not know yet is kept as text.
        detail: What is wrong, for people.
        errors: Per field `{"pointer", "detail", ...}`, possibly empty.
        request_id: Name of the request in the service's logs.
        retry_after_s: Seconds to wait before trying again, if the service said so.
    """

    code: str = "unknown"

    def __init__(self, status: int, document: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        self.status = status
        self.document = dict(document)
        self.code = str(document.get("code") or type(self).code)
        self.title = str(document.get("title") or f"HTTP {status}")
        self.detail = str(document.get("detail") or self.title)
        errors = document.get("errors")
        self.errors: list[dict[str, Any]] = [e for e in errors if isinstance(e, dict)] if errors else []
        self.request_id = str(document.get("request_id") or "")
        self.retry_after_s = retry_after_s
        super().__init__(f"{self.code}: {self.detail}")


_OTHER_NAMES = {"redis": "RedisUnavailable", "store": "StoreUnavailable"}


def _class_of(code: str, doc: str) -> type[ProblemError]:
    name = _OTHER_NAMES.get(code) or "".join(part.capitalize() for part in code.split("_"))
    return type(name, (ProblemError,), {"__doc__": doc, "__module__": __name__, "code": code})


BY_CODE: dict[str, type[ProblemError]] = {code: _class_of(code, doc) for code, doc in CODES.items()}
globals().update({cls.__name__: cls for cls in BY_CODE.values()})

if TYPE_CHECKING:

    def __getattr__(name: str) -> type[ProblemError]: ...


def problem_from(status: int, body: bytes, retry_after_s: float | None = None) -> ProblemError:
    """The exception for an answer that is no success, also when its body is not a problem at all."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {"detail": f"HTTP {status} without problem details"}
    cls = BY_CODE.get(str(document.get("code")), ProblemError)
    return cls(status, document, retry_after_s)
