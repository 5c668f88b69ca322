"""Parameters that several routes share: ids, page limits and cursors, filters, header names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Header, Path, Query

from service.api import examples
from service.api.validation import refuse
from service.store.clock import from_text, to_text

_ULID = "[0-7][0-9A-HJKMNP-TV-Z]{25}"


def _id(prefix: str, example: str, what: str) -> object:
    # The pattern is documented but not validated: a malformed id is answered as any unknown one, by 404.
    return Path(description=what, examples=[example], json_schema_extra={"pattern": f"^{prefix}_{_ULID}$"})


SearchId = Annotated[str, _id("srch", examples.SEARCH_ID, "Id of a search.")]
LineageId = Annotated[str, _id("lin", examples.LINEAGE_ID, "Id of a lineage of this search.")]
TicketId = Annotated[str, _id("tkt", examples.TICKET_ID, "Id of a ticket.")]
UploadId = Annotated[str, _id("upl", examples.UPLOAD_ID, "Id of an upload.")]
LevelNumber = Annotated[
    str, Path(description="Level; 0 is the dense network.", json_schema_extra={"pattern": "^(0|[1-9][0-9]?)$"})
]

Limit = Annotated[int, Query(ge=1, le=200, description="Items per page.")]
After = Annotated[str | None, Query(min_length=1, max_length=512, description="`next_after` of the page before.")]
Moment = Annotated[str | None, Query(description="RFC 3339 time.", json_schema_extra={"format": "date-time"})]
SearchStatus = Annotated[
    str | None,
    Query(
        pattern="^(queued|provisioning|running|paused|cancelling|succeeded|partial|failed|cancelled)$",
        description="Only searches in this state.",
    ),
]
LineageStatus = Annotated[
    str | None,
    Query(
        pattern="^(blocked|pending|running|retrying|paused|succeeded|stopped|failed|cancelled|skipped)$",
        description="Only lineages in this state.",
    ),
]
Label = Annotated[
    str | None,
    Query(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}=[^\x00-\x1f]{0,120}$",
        description="Only those with this label, as `name=value`.",
    ),
]
Treatment = Annotated[
    str | None,
    Query(
        pattern=r"^[a-z][a-z0-9_]{0,62}(\[[a-z0-9_=.,+-]{1,120}\])?$",
        description="Only lineages of this treatment, by its label, such as `random_reinit` or `noise[sigma=3.0]`.",
    ),
]

IfNoneMatch = Annotated[str | None, Header(description="Answer 304 if this entity tag still holds.")]
Range = Annotated[str | None, Header(description="One byte range.", examples=["bytes=0-99"])]
IfRange = Annotated[str | None, Header(description="Send the range only if this entity tag still holds.")]
Prefer = Annotated[str | None, Header(description="`wait=30`: answer when it has changed or ended.")]


@dataclass(frozen=True)
class Conditions:
    """The headers of a conditional or partial download."""

    if_none_match: IfNoneMatch = None
    range: Range = None
    if_range: IfRange = None


Conditional = Annotated[Conditions, Depends()]


def moment(name: str, text: str | None) -> datetime | None:
    """Read an RFC 3339 time of a query.

    Raises:
        ApiError: `bad_filter`.
    """
    if text is None:
        return None
    try:
        moment = from_text(text)
        to_text(moment)
    except (ValueError, OverflowError):
        detail = "must be an RFC 3339 time with an offset, such as 2026-11-22T09:10:11Z"
        raise refuse("bad_filter", [{"pointer": name, "detail": detail}]) from None
    return moment
