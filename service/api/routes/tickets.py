"""Tickets: list them by what they are worth, look at one, compare two masks."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from lth_core.labels import Label
from service.api import cursors, docs, params, schemas
from service.api.comparison import compare
from service.api.context import Reader
from service.api.responses import as_json, as_page, degraded_header

router = APIRouter(tags=["tickets"])
Verdict = Annotated[
    Literal[
        "paper_point",
        "certified",
        "initialisation_matters",
        "mask_matters",
        "matching",
        "trained_matches",
        "lost",
        "not_converged",
    ]
    | None,
    Query(description="Only tickets with a `yes` to this verdict."),
]
Name = Annotated[str | None, Query(pattern="^[a-z0-9][a-z0-9_-]{0,62}$", description="Only of this name.")]
Bound = Annotated[float | None, Query(ge=0, le=1, description="A share in [0, 1].")]


@router.get("/v1/tickets", response_model=schemas.TicketPage, responses=docs.problems())
async def list_tickets(
    request: Request,
    caller: Reader,
    limit: params.Limit = 50,
    after: params.After = None,
    search: Annotated[str | None, Query(max_length=40, description="Only tickets of this search.")] = None,
    verdict: Verdict = None,
    treatment: params.Treatment = None,
    model: Name = None,
    dataset: Name = None,
    min_accuracy: Bound = None,
    max_density: Bound = None,
    label: params.Label = None,
    output: Annotated[Label | None, Query(description="Only what may be called so: its `label`.")] = None,
    sort: Annotated[Literal["-created_at", "density", "-test_accuracy"], Query(description="Order.")] = "-created_at",
) -> Response:
    """List tickets, newest first or by density or test accuracy."""
    page = await caller.record.tickets(
        caller.tenant,
        limit=limit,
        after=cursors.decode("tickets", after),
        search=search,
        verdict=verdict,
        treatment=treatment,
        model=model,
        dataset=dataset,
        min_accuracy=min_accuracy,
        max_density=max_density,
        label=label,
        output=output,
        sort=sort,
    )
    next_after = page.next_after and cursors.encode("tickets", page.next_after)
    return as_page(request, page.data, next_after, headers=degraded_header(page))


@router.get("/v1/tickets:compare", response_model=schemas.Comparison, responses=docs.problems())
async def compare_tickets(
    request: Request,
    caller: Reader,
    a: Annotated[str, Query(max_length=40, description="Id of a ticket or of an upload.")],
    b: Annotated[str, Query(max_length=40, description="Id of another one of the same architecture.")],
) -> Response:
    """Compare two masks per layer: Jaccard index, Hamming distance, overlap against chance."""
    return as_json(request, await compare(caller.record, caller.tenant, a, b))


@router.get("/v1/tickets/{ticket_id}", response_model=schemas.Ticket, responses=docs.problems())
async def get_ticket(request: Request, caller: Reader, ticket_id: params.TicketId) -> Response:
    """Show one ticket with its verdicts."""
    return as_json(request, await caller.record.ticket(caller.tenant, ticket_id))
