"""Events of a search: pages of JSON, or a stream that goes on where it broke."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.responses import StreamingResponse

from service.api import docs, params, schemas
from service.api.context import Reader
from service.api.negotiation import choose
from service.api.responses import as_page
from service.api.streams import Filter, stream
from service.api.validation import refuse
from service.store.errors import BadCursor

SSE = "text/event-stream"
Types = Annotated[
    str | None,
    Query(
        pattern=r"^[a-z_.]{1,40}(,[a-z_.]{1,40}){0,19}$",
        description="Only these types, joined by commas, e.g. `level.committed,search.succeeded`.",
    ),
]
Position = Annotated[
    str | None,
    Query(min_length=1, max_length=100, description="Only what came after: `next_after`, or an SSE `id`."),
]
LastEventId = Annotated[str | None, Header(description="Position after which the stream goes on.")]
router = APIRouter(tags=["events"])


@router.get(
    "/v1/searches/{search_id}/events",
    response_model=schemas.EventPage,
    responses={
        200: {
            "description": "By `Accept` a page, oldest first, or a stream that ends with the search.",
            "content": {SSE: {"schema": {"type": "string"}}},
        },
        **docs.also(204, "The search has ended and there is nothing after this position."),
        **docs.problems(),
    },
)
async def get_events(
    request: Request,
    caller: Reader,
    search_id: params.SearchId,
    limit: params.Limit = 50,
    after: Position = None,
    types: Types = None,
    lineage: Annotated[str | None, Query(max_length=40, description="Only events of this lineage.")] = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Read a search's events, as pages or as a stream of server-sent events."""
    position = last_event_id or after
    wanted = Filter.of(types, lineage)
    as_stream = choose(request.headers.get("accept"), ("application/json", SSE)) == SSE
    if as_stream:
        caller.services.streams.check(caller.principal.name)
    # Position and search are checked by reading here, before the first byte: afterwards nothing can be refused.
    try:
        page = await caller.record.events(caller.tenant, search_id, after=position, limit=1 if as_stream else limit)
    except BadCursor:
        raise refuse("bad_event_id", [{"pointer": "Last-Event-ID", "detail": "is no position of a stream"}]) from None
    if not as_stream:
        data = [event for event in page.data if wanted.passes(event)]
        return as_page(request, data, page.next_after, headers={"Vary": "Accept"}, chosen=True)
    if page.ended and not page.data:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Vary": "Accept"}
    return StreamingResponse(stream(caller, search_id, position, wanted), headers=headers, media_type=SSE)
