"""Searches: submit, estimate, list, look at, cancel."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from lth_core.canonical import canonical_json, sha256_hex
from lth_core.expansion import fits
from service.api import cursors, docs, examples, params, schemas
from service.api.bodies import (
    CancelRequest,
    check_size,
    parse_submission,
    read_json,
)
from service.api.context import Estimator, Reader, Writer
from service.api.estimate import estimate
from service.api.negotiation import etag_matches, wait_s
from service.api.responses import as_json, as_page, degraded_header, encode, entity_tag
from service.api.validation import refuse, validate
from service.store.log import TERMINAL

POLL_S = 0.25
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_SUBMISSION = docs.body("Submission", examples.SUBMISSION, grid=examples.GRID_SUBMISSION)
_CANCEL = docs.body("CancelRequest", {"mode": "kill"}, required=False)
_FIELDS = frozenset(schemas.Search.model_fields)
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="Repeats with one key make one search.",
        json_schema_extra={"pattern": "^[\\x21-\\x7e]{1,255}$"},
    ),
]
router = APIRouter(tags=["searches"])


@router.post(
    "/v1/searches",
    status_code=202,
    response_model=schemas.Search,
    openapi_extra=_SUBMISSION,
    responses={
        200: {
            "description": "The search that this key already made, or the estimate with `validate_only`.",
            "model": schemas.Search | schemas.Estimate,
        },
        **docs.problems(*docs.BODY, 501),
    },
)
async def submit_search(
    request: Request,
    caller: Writer,
    validate_only: Annotated[bool, Query(description="Check and count only; nothing is stored.")] = False,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Submit a search; with `validate_only` check it and count it."""
    key = _idempotency_key(idempotency_key)
    body = await read_json(request)
    submission = parse_submission(body)
    max_lineages = caller.services.settings.quota_lineages
    check_size(submission, max_lineages)
    submission.spec.check()
    dataset = await caller.record.dataset_info(submission.spec.dataset.name)
    fits(submission.spec, dataset, await caller.record.origin(caller.tenant, submission.spec.init))
    if validate_only:
        return as_json(request, estimate(submission.spec, max_lineages=max_lineages))
    fingerprint = sha256_hex(b"POST /v1/searches\n" + canonical_json(body))
    search, created = await caller.record.submit(
        caller.tenant, submission, idempotency_key=key, fingerprint=fingerprint
    )
    headers = {"Location": f"/v1/searches/{search['id']}", "Retry-After": "2"}
    if not created:
        return as_json(request, search, 200, headers={**headers, "Idempotency-Replayed": "true"})
    return as_json(request, search, 202, headers=headers)


@router.post(
    "/v1/searches:estimate",
    response_model=schemas.Estimate,
    openapi_extra=_SUBMISSION,
    responses=docs.problems(*docs.BODY, 501),
)
async def estimate_search(request: Request, caller: Estimator) -> Response:
    """Count a search's settings, lineages, levels and steps, also where it would not fit the quota."""
    submission = parse_submission(await read_json(request))
    answer = estimate(submission.spec, max_lineages=caller.services.settings.quota_lineages)
    dataset = await caller.record.dataset_info(submission.spec.dataset.name)
    origin = await caller.record.origin(caller.tenant, submission.spec.init)
    if answer["fits"]:
        submission.spec.check()
        fits(submission.spec, dataset, origin)
    return as_json(request, answer)


@router.get("/v1/searches", response_model=schemas.SearchPage, responses=docs.problems())
async def list_searches(
    request: Request,
    caller: Reader,
    limit: params.Limit = 50,
    after: params.After = None,
    status: params.SearchStatus = None,
    label: params.Label = None,
    created_after: params.Moment = None,
    created_before: params.Moment = None,
    fields: Annotated[str | None, Query(description="Members to show, joined by commas.", max_length=400)] = None,
) -> Response:
    """List searches, newest first."""
    shown = _fields(fields)
    page = await caller.record.searches(
        caller.tenant,
        limit=limit,
        after=cursors.decode("searches", after),
        status=status,
        label=label,
        created_after=params.moment("created_after", created_after),
        created_before=params.moment("created_before", created_before),
    )
    data = [_only(search, shown) for search in page.data]
    next_after = page.next_after and cursors.encode("searches", page.next_after)
    return as_page(request, data, next_after, headers=degraded_header(page))


@router.get(
    "/v1/searches/{search_id}",
    response_model=schemas.Search,
    responses={**docs.also(304, "It has not changed."), **docs.problems()},
)
async def get_search(
    request: Request,
    caller: Reader,
    search_id: params.SearchId,
    if_none_match: params.IfNoneMatch = None,
    prefer: params.Prefer = None,
) -> Response:
    """Show a search; `Prefer: wait=30` answers when it differs from `If-None-Match`, or else has ended."""
    asked_s = wait_s(prefer)
    search = await caller.record.search(caller.tenant, search_id)
    deadline = time.monotonic() + asked_s
    while time.monotonic() < deadline and not caller.services.draining.is_set():
        if search["status"] in TERMINAL:
            break
        if if_none_match is not None and not etag_matches(if_none_match, entity_tag(encode(search))):
            break
        await asyncio.sleep(POLL_S)
        search = await caller.record.search(caller.tenant, search_id)
    headers = {"Preference-Applied": f"wait={asked_s}"} if asked_s else {}
    return as_json(request, search, headers=headers, etag=True, if_none_match=if_none_match)


@router.post(
    "/v1/searches/{search_id}/cancel",
    status_code=202,
    response_model=schemas.Search,
    openapi_extra=_CANCEL,
    responses={
        200: {"description": "It is cancelled already.", "model": schemas.Search},
        **docs.problems(*docs.BODY, 409),
    },
)
async def cancel_search(request: Request, caller: Writer, search_id: params.SearchId) -> Response:
    """Cancel a search; the wish is durable when this answers."""
    wish = validate(CancelRequest, await read_json(request, optional=True))
    search, already = await caller.record.cancel(caller.tenant, search_id, wish.mode)
    return as_json(request, search, 200 if already else 202)


def _idempotency_key(given: str | None) -> str:
    if given is None:
        return secrets.token_hex(16)
    if not _KEY.fullmatch(given):
        detail = f"must be 1 to 255 visible ASCII characters, got {len(given)} characters"
        raise refuse("bad_header", [{"pointer": "Idempotency-Key", "detail": detail}])
    return given


def _fields(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    names = frozenset(text.split(","))
    if unknown := sorted(names - _FIELDS):
        detail = f"knows no member {unknown[0][:60]!r}; known are {', '.join(sorted(_FIELDS))}"
        raise refuse("bad_filter", [{"pointer": "fields", "detail": detail}])
    return names | {"id"}


def _only(search: dict[str, Any], names: frozenset[str] | None) -> dict[str, Any]:
    return search if names is None else {name: value for name, value in search.items() if name in names}
