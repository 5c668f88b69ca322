"""`lth tickets`: list, download, compare and verify tickets."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from service.cli import children
from service.cli.exits import UsageError
from service.cli.session import Session, command
from service.cli.tables import new_table, share, tickets_table
from service.wire.downloads import MASK_FORMATS

app = typer.Typer(help="Find, download, compare and verify tickets.", no_args_is_help=True)
TicketId = Annotated[str, typer.Argument(help="Name of the ticket, tkt_...", metavar="TICKET")]


def ls(
    session: Session,
    search: Annotated[str | None, typer.Option(help="Only tickets of this search.")] = None,
    verdict: Annotated[str | None, typer.Option(help="Only where this verdict is yes, for example certified.")] = None,
    treatment: Annotated[str | None, typer.Option(help="Only this treatment, for example winning_ticket.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    min_accuracy: Annotated[float | None, typer.Option(help="Test accuracy at least.", min=0, max=1)] = None,
    max_density: Annotated[float | None, typer.Option(help="Density at most.", min=0, max=1)] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
) -> None:
    """List tickets."""
    filters = {
        "search": search,
        "verdict": verdict,
        "treatment": treatment,
        "model": model,
        "dataset": dataset,
        "min_accuracy": min_accuracy,
        "max_density": max_density,
    }
    with session.client() as client:
        found = list(itertools.islice(client.tickets(limit=min(limit, 200), **filters), limit))
    if session.as_json:
        session.emit([ticket.document for ticket in found])
    elif found:
        session.out.print(tickets_table(found))
    else:
        session.note("no such tickets")


def get(
    session: Session,
    ticket_id: TicketId,
    output: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for the files.", show_default="TICKET")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help=f"Form of the mask: {', '.join(MASK_FORMATS)}.")
    ] = "safetensors",
) -> None:
    """Download a ticket: manifest, mask and weights, every digest checked."""
    if form not in MASK_FORMATS:
        raise UsageError(f"--format {form!r}: choose one of {', '.join(MASK_FORMATS)}")
    folder = output or Path(ticket_id)
    with session.client() as client:
        ticket = client.ticket(ticket_id)
        ticket.mask()
        written = ticket.download(folder, form)
    if session.as_json:
        session.emit({"ticket": ticket_id, "folder": str(folder), "files": [str(path) for path in written]})
        return
    for path in written:
        session.out.print(f"{path}  [dim]{path.stat().st_size:,} bytes[/]", soft_wrap=True)


def compare(
    session: Session,
    first: Annotated[str, typer.Argument(metavar="A", help="One ticket.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another of the same network.")],
) -> None:
    """Compare two masks layer by layer: overlap against chance."""
    with session.client() as client:
        answer = client.get("/v1/tickets:compare", a=first, b=second)
    if session.as_json:
        session.emit(answer)
        return
    columns = [key for key in answer["overall"] if isinstance(answer["overall"][key], (int, float))]
    heads = [name.replace("_", " ") for name in columns]
    table = new_table("layer", *heads, right=heads)
    for layer in [*answer["layers"], {"name": "all", **answer["overall"]}]:
        cells = [layer.get(name) for name in columns]
        table.add_row(str(layer["name"]), *(share(c) if isinstance(c, float) else str(c) for c in cells))
    session.out.print(table)


def verify(
    session: Session,
    ticket_id: TicketId,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Also train the level again and compare the bits.")
    ] = False,
    tenant: Annotated[str, typer.Option(help="Whose ticket it is.")] = "local",
) -> int:
    """Verify a ticket on this machine: digests, counts, nesting, rewind bits, and the accuracy again."""
    words = [ticket_id, "--tenant", tenant, *(["--retrain"] if retrain else [])]
    return children.run(session, "workers.verify", words)


command(app, "ls")(ls)
command(app, "get")(get)
command(app, "compare")(compare)
command(app, "verify")(verify)
