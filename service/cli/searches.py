"""`lth submit ls show watch events cancel plot`: everything about searches."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli import exits, watch
from service.cli.plot import plot_search
from service.cli.results import WINNING, Row, levels_by_treatment, results_of
from service.cli.session import Session, command
from service.cli.tables import age, results_legend, results_tables, searches_table, status_text
from service.client import Search

SearchId = Annotated[str, typer.Argument(help="Name of the search, srch_...", metavar="ID")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "ls")(ls)
    command(app, "show")(show)
    command(app, "watch")(watch_search)
    command(app, "events")(events)
    command(app, "cancel")(cancel)
    command(app, "plot")(plot)


def ls(
    session: Session,
    status: Annotated[str | None, typer.Option(help="Only searches in this state.")] = None,
    label: Annotated[str | None, typer.Option(help="Only searches with this label, name=value.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, newest first.", min=1)] = 50,
) -> None:
    """List searches, newest first."""
    with session.client() as client:
        some = itertools.islice(client.searches(status=status, label=label, limit=min(limit, 200)), limit)
        documents = [search.document for search in some]
    if session.as_json:
        session.emit(documents)
    elif documents:
        session.out.print(searches_table(documents))
    else:
        session.note("no searches yet; start one with: lth submit --preset lenet-digits --watch")


def show(session: Session, search_id: SearchId) -> None:
    """Show one search: where it stands, and its results so far."""
    with session.client() as client:
        search = client.search(search_id)
        _, rows = results_of(search)
    if session.as_json:
        session.emit(search.document | {"results": [row_json(row) for row in rows]})
        return
    _show_head(session, search)
    if rows:
        session.out.print(*results_tables(rows, session.out.width))
        session.out.print(results_legend(rows))


def watch_search(session: Session, search_id: SearchId) -> int:
    """Follow a search live until it ends; Ctrl-C detaches and the search goes on."""
    return watch.watch(session, search_id)


def events(
    session: Session,
    search_id: SearchId,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the search ends.")] = False,
    after: Annotated[str | None, typer.Option(help="Go on behind this position (with -f).")] = None,
) -> None:
    """Print what happened in a search."""
    with session.client(patient=follow) as client:
        search = client.search(search_id)
        names = {lin["id"]: f"{lin['treatment']} seed {lin['replicate']}" for lin in search.lineages()}
        for event in search.events(after) if follow else search.past_events():
            if session.as_json:
                session.emit(event.as_json())
            else:
                session.out.print(watch.event_line(event, names), soft_wrap=True)


def cancel(
    session: Session,
    search_id: SearchId,
    mode: Annotated[
        str, typer.Option(help="kill: stop now; after_level: let running levels commit; drain: let lineages finish.")
    ] = "kill",
) -> None:
    """Cancel a search; what is committed stays."""
    if mode not in ("kill", "after_level", "drain"):
        raise exits.UsageError(f"--mode {mode!r}: choose kill, after_level or drain")
    with session.client() as client:
        search = client.search(search_id).cancel(mode)
    if session.as_json:
        session.emit(search.document)
    else:
        session.out.print(status_text(search.status).append(f"  {search.id}"))


def plot(
    session: Session,
    search_id: SearchId,
    output: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write: .png, .pdf or .svg.", show_default="ID.png")
    ] = None,
) -> None:
    """Draw accuracy and early-stop step against density, tickets against controls."""
    path = output or Path(f"{search_id}.png")
    with session.client() as client:
        search = client.search(search_id)
        points, _ = results_of(search)
    plot_search(levels_by_treatment(points), path, plot_title(search.document))
    if session.as_json:
        session.emit({"plot": str(path)})
    else:
        session.out.print(str(path), soft_wrap=True)


def plot_title(document: dict[str, Any]) -> str:
    """Model, data set and number of replicates of a search."""
    spec = document.get("spec") or {}
    model, dataset = (spec.get(part, {}).get("name", "?") for part in ("model", "dataset"))
    replicates = spec.get("replicates", 3)
    num = replicates if isinstance(replicates, int) else len(replicates)
    return f"{model} on {dataset}, n = {num} replicate{'s' if num != 1 else ''} (line: mean, band: min to max)"


def row_json(row: Row) -> dict[str, Any]:
    """One level of the results for programs."""
    names = sorted(row.accuracy, key=lambda name: (name != WINNING, name))
    return {
        "setting": row.setting,
        "level": row.level,
        "density": row.density,
        "treatments": {
            name: {
                "test_accuracy": vars(row.accuracy[name]),
                "early_stop_step": vars(row.early_stop[name]) if name in row.early_stop else None,
            }
            for name in names
        },
        "verdicts": dict(row.verdicts),
    }


def _show_head(session: Session, search: Search) -> None:
    document = search.document
    progress, counts = document.get("progress") or {}, document.get("counts") or {}
    line = status_text(search.status)
    if document.get("reason"):
        line.append(f" ({document['reason']})")
    line.append(f"  {document.get('name') or ''}  ", style="bold").append(search.id, style="dim")
    session.out.print(line)
    submitted = age((document.get("status_at") or {}).get("queued"))
    session.out.print(f"{plot_title(document).split(' (')[0]}; submitted {submitted} ago")
    states = ", ".join(f"{num} {name}" for name, num in counts.items() if num and name != "lineages")
    done = f"{progress.get('levels_done', 0)}/{progress.get('levels_total', 0)} levels"
    session.out.print(f"{done}; lineages: {states}")
    if search.best_id:
        session.out.print(f"best ticket: {search.best_id}")
