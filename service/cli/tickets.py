"""`lth tickets`: list, download, compare, verify, upload and import tickets."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli import children
from service.cli.exits import UsageError
from service.cli.session import Session, command
from service.cli.tables import new_table, share, tickets_table
from service.wire.downloads import MASK_FORMATS
from service.wire.uploads import TicketFiles

FOREIGN_FORMS = ("open_lth", "torch_prune", "safetensors", "npz", "torch")
app = typer.Typer(help="Find, download, compare, verify, upload and import tickets.", no_args_is_help=True)
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


def upload(
    session: Session,
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folder with manifest.json, mask.* and rewind.*, as `lth tickets get` writes it."),
    ],
) -> None:
    """Upload tickets, so that a search can transfer them (lth submit --init upl_...)."""
    _upload(session, [_files_in(folder) for folder in folders])


def import_(
    session: Session,
    path: Annotated[Path, typer.Argument(help="File or folder of the ticket.")],
    form: Annotated[str, typer.Option("--from", help=f"Who wrote it: {', '.join(FOREIGN_FORMS)}.")],
    model: Annotated[str, typer.Option(help="Its network: a name, or the JSON of spec.model.")],
    in_shape: Annotated[str, typer.Option(help="Shape of one example, channels first: 1x28x28.")],
    classes: Annotated[int, typer.Option(help="Size of its output layer.", min=1)] = 10,
    weights: Annotated[Path | None, typer.Option(help="Weights to rewind to, where PATH holds the mask only.")] = None,
    level: Annotated[int | None, typer.Option(help="Level of an open_lth folder.", min=0)] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write the files here; nothing is uploaded.")
    ] = None,
) -> int:
    """Convert a ticket of another framework on this machine, and upload it."""
    if form not in FOREIGN_FORMS:
        raise UsageError(f"--from {form!r}: choose one of {', '.join(FOREIGN_FORMS)}")
    words = [str(path), "--from", form, "--model", model, "--in-shape", in_shape, "--classes", str(classes)]
    words += ["--weights", str(weights)] if weights else []
    words += ["--level", str(level)] if level is not None else []
    with tempfile.TemporaryDirectory() as scratch:
        folder = output or Path(scratch)
        code = children.convert(session, [*words, "--out", str(folder)])
        if code == 0 and output is None:
            _upload(session, [_files_in(folder)])
    return code


def uploads(session: Session) -> None:
    """List uploaded tickets, newest first."""
    with session.client() as client:
        found = list(client.uploads())
    if found or session.as_json:
        _show_uploads(session, found)
    else:
        session.note("no uploads yet")


def _files_in(folder: Path) -> TicketFiles:
    try:
        return TicketFiles.from_folder(folder)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None


def _upload(session: Session, tickets: Sequence[TicketFiles]) -> None:
    with session.client() as client:
        _show_uploads(session, [client.upload_ticket(files) for files in tickets])


def _show_uploads(session: Session, documents: Sequence[Mapping[str, Any]]) -> None:
    if session.as_json:
        session.emit(documents)
        return
    for document in documents:
        density = share(float(document["density"]))
        session.out.print(f"{document['id']}  [dim]{document['model']['name']}, density {density}[/]", soft_wrap=True)


command(app, "ls")(ls)
command(app, "get")(get)
command(app, "compare")(compare)
command(app, "verify")(verify)
command(app, "upload")(upload)
command(app, "uploads")(uploads)
command(app, "import")(import_)
