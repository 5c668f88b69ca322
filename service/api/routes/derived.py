"""Analyses and reports of searches and tickets, made by a worker and served as files; also while a search runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from service.api import examples, params
from service.api.context import Caller, Reader
from service.api.derived import LATER, later, wait_for
from service.api.negotiation import choose
from service.api.report_formats import EXTENSIONS, FIGURE_TYPES, MEDIA_TYPES, SEALED
from service.api.responses import as_file
from service.api.routing import RANGED, answers, get_and_head
from service.store.jobs import SEARCH_ANALYSES, TICKET_ANALYSES

router = APIRouter(tags=["analyses and reports"])
_ANALYSIS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The analysis.",
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Analysis"},
                "examples": {"example": {"value": examples.ANALYSIS}},
            }
        },
    },
    **RANGED,
    **LATER,
}


def _name(known: tuple[str, ...]) -> Any:
    return Path(description="Which analysis.", json_schema_extra={"enum": list(known)})


@get_and_head(router, "/v1/searches/{search_id}/analysis/{analysis}", _ANALYSIS)
async def get_search_analysis(
    request: Request,
    caller: Reader,
    search_id: params.SearchId,
    analysis: Annotated[str, _name(SEARCH_ANALYSES)],
    conditions: params.Conditional,
) -> Response:
    """Show an analysis of a search, over what is committed so far."""
    return await _analysis(request, caller, search_id, analysis, conditions)


@get_and_head(router, "/v1/tickets/{ticket_id}/analysis/{analysis}", _ANALYSIS)
async def get_ticket_analysis(
    request: Request,
    caller: Reader,
    ticket_id: params.TicketId,
    analysis: Annotated[str, _name(TICKET_ANALYSES)],
    conditions: params.Conditional,
) -> Response:
    """Show an analysis of a ticket."""
    return await _analysis(request, caller, ticket_id, analysis, conditions)


@get_and_head(
    router,
    "/v1/searches/{search_id}/report",
    {**answers("The report.", list(MEDIA_TYPES.values())), **RANGED, **LATER},
)
async def get_report(
    request: Request,
    caller: Reader,
    search_id: params.SearchId,
    conditions: params.Conditional,
    format: Annotated[  # noqa: A002
        Literal["json", "markdown", "html", "csv", "bibtex"] | None, Query(description="Wins over `Accept`.")
    ] = None,
) -> Response:
    """Download the report of a search: recipe, environment, counts, verdicts, figures; so far, while it runs."""
    form = format or _form_of(choose(request.headers.get("accept"), tuple(MEDIA_TYPES.values())))
    made = await wait_for(request, caller, search_id, "report", form)
    if made is None:
        return later(request, search_id, "report", form)
    return as_file(
        request,
        conditions,
        made.data,
        media_type=MEDIA_TYPES[form],
        filename=f"{search_id}.{EXTENSIONS[form]}",
        final=made.final,
        inline=form in ("json", "html"),
        headers={"Content-Security-Policy": SEALED},
    )


@get_and_head(
    router,
    "/v1/searches/{search_id}/report/figures/{figure}",
    {**answers("The figure.", list(FIGURE_TYPES.values())), **LATER},
)
async def get_figure(
    request: Request,
    caller: Reader,
    search_id: params.SearchId,
    figure: Annotated[str, Path(description="Id of a figure of the report, and `.svg` or `.png`.")],
    conditions: params.Conditional,
) -> Response:
    """Download a figure of a search's report."""
    name = f"figure-{figure}"
    media_type = FIGURE_TYPES.get(figure.rpartition(".")[2], "application/octet-stream")
    choose(request.headers.get("accept"), (media_type,))
    made = await wait_for(request, caller, search_id, "report", name)
    if made is None:
        return later(request, search_id, "report", name)
    return as_file(
        request,
        conditions,
        made.data,
        media_type=media_type,
        filename=f"{search_id}.{figure}",
        final=made.final,
        inline=True,
        headers={"Content-Security-Policy": SEALED},
    )


async def _analysis(
    request: Request, caller: Caller, subject: str, name: str, conditions: params.Conditions
) -> Response:
    choose(request.headers.get("accept"), ("application/json",))
    made = await wait_for(request, caller, subject, "analysis", name)
    if made is None:
        return later(request, subject, "analysis", name)
    return as_file(
        request,
        conditions,
        made.data,
        media_type="application/json",
        filename=f"{subject}.{name}.json",
        final=made.final,
        inline=True,
    )


def _form_of(media_type: str) -> str:
    return next(form for form, own in MEDIA_TYPES.items() if own == media_type)
