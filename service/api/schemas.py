"""The shapes of answers, as they stand in the OpenAPI document; responses may gain members within `/v1`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api import examples

SearchStatus = Annotated[
    str,
    Field(description="queued, provisioning, running, paused, cancelling, succeeded, partial, failed or cancelled"),
]
LineageStatus = Annotated[
    str,
    Field(description="blocked, pending, running, retrying, paused, succeeded, stopped, failed, cancelled or skipped"),
]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Share = Annotated[float, Field(ge=0, le=1)]


class Shape(BaseModel):
    """Base of every answer: open to new members."""

    model_config = ConfigDict(extra="allow")


class ProblemError(Shape):
    """One offending member: a JSON pointer into the body, or the name of a parameter, and what is wrong."""

    pointer: str
    detail: str


class Problem(Shape):
    """A refusal or failure as RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.PROBLEM]})

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    request_id: str
    errors: list[ProblemError] = []


class Search(Shape):
    """A search: what was asked, where it stands, and where to go from it."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.SEARCH]})

    id: str
    object: Literal["search"]
    name: str
    status: SearchStatus
    reason: str | None
    revision: int
    created_at: Time
    parent: str | None
    relation: str | None
    labels: dict[str, str]
    note: str
    priority: str
    status_at: dict[str, Any]
    best: dict[str, Any] | None
    usage: dict[str, float]
    counts: dict[str, int]
    provenance: dict[str, Any]
    progress: dict[str, Any]
    conditions: list[dict[str, Any]]
    spec: dict[str, Any]
    spec_digest: str
    resources: dict[str, Any]
    budget: dict[str, Any]
    results: str | None
    urls: dict[str, str]


class PartialSearch(Shape):
    """A search with only the members that `fields` asked for."""

    id: str


class Estimate(Shape):
    """The size of a search, counted without storing or starting anything."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.ESTIMATE]})

    object: Literal["estimate"]
    settings: int
    lineages: int
    levels: int
    steps: int
    gpu_seconds: dict[str, Any]
    fits: bool
    limits: dict[str, int]


class Lineage(Shape):
    """One chain of levels of one replicate, setting and treatment within a search."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.LINEAGE]})

    id: str
    object: Literal["lineage"]
    search: str
    key: str
    treatment: str
    replicate: int
    status: LineageStatus
    levels_done: int
    levels_total: int


class Level(Shape):
    """One level of a lineage; a committed one has exact counts, metrics and digests."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.LEVEL]})

    object: Literal["level"]
    lineage: str
    level: int
    status: str


class Ticket(Shape):
    """A mask and the weights to rewind to, at one committed level, with its verdicts."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.TICKET]})

    id: str
    object: Literal["ticket"]
    lineage: str
    search: str
    replicate: int
    treatment: str
    level: int
    density: Share
    verdicts: dict[str, Any]
    mask_sha256: str
    formats: list[str]
    urls: dict[str, str]


class Upload(Shape):
    """A ticket found elsewhere, as it was uploaded; it belongs to no search and has no verdicts."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.UPLOAD]})

    id: str
    object: Literal["upload"]
    model: dict[str, Any]
    in_shape: list[int]
    num_classes: int
    layers: list[dict[str, Any]]
    kept: int
    prunable: int
    density: Share
    collapsed: bool
    mask_sha256: str
    rewind_sha256: str
    uploaded_at: Time
    urls: dict[str, str]


class Analysis(Shape):
    """An analysis of a search or of a ticket; what else it holds depends on its name."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.ANALYSIS]})

    object: Literal["analysis"]
    name: str
    subject: str


class Event(Shape):
    """Something that happened in a search, under a name that stays the same when it is sent twice."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.EVENT]})

    event_id: str
    type: str
    at: Time
    search: str


class Page(Shape):
    """One page of a list, newest first."""

    has_more: bool
    next_after: str | None


class SearchPage(Page):
    """A page of searches."""

    data: list[PartialSearch]


class LineagePage(Page):
    """A page of lineages."""

    data: list[Lineage]


class LevelPage(Page):
    """All levels of a lineage, from the dense one on."""

    data: list[Level]


class TicketPage(Page):
    """A page of tickets."""

    data: list[Ticket]


class UploadPage(Page):
    """A page of uploads."""

    data: list[Upload]


class EventPage(Page):
    """A page of events, oldest first."""

    data: list[Event]


class Curves(Shape):
    """Per level metrics of every lineage of a search, ready to plot."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.CURVES]})

    object: Literal["curves"]
    search: str
    columns: list[str]
    series: list[dict[str, Any]]


class Comparison(Shape):
    """How much two masks of one architecture share, per layer and in all."""

    object: Literal["comparison"]
    a: str
    b: str
    layers: list[dict[str, Any]]
    overall: dict[str, Any]
