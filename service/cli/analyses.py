"""`lth report` and `lth analysis`: what the service concludes from a search, as files and as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from service.cli.exits import UsageError
from service.cli.session import Session, command
from service.cli.tables import new_table
from service.client import Search
from service.wire.downloads import REPORT_FORMATS

SearchId = Annotated[str, typer.Argument(help="Name of the search, srch_...", metavar="ID")]
HEAD = frozenset({"object", "format", "name", "subject", "search", "definitions", "references", "skipped"})
FIGURE_FILES = ("svg", "png")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "report")(report)
    command(app, "analysis")(analysis)


def report(
    session: Session,
    search_id: SearchId,
    output: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for every form and all figures.", show_default=False)
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help=f"One form only: {', '.join(REPORT_FORMATS)}.", show_default=False)
    ] = None,
) -> None:
    """Print the report of a search as Markdown, or write all its forms and figures into a folder."""
    if form is not None and form not in REPORT_FORMATS:
        raise UsageError(f"--format {form!r}: choose one of {', '.join(REPORT_FORMATS)}")
    with session.client() as client:
        search = client.search(search_id)
        if output is None:
            wanted = form or ("json" if session.as_json else "markdown")
            typer.echo(search.report(wanted).decode().rstrip("\n"))
            return
        written = write_report(search, output, [form] if form else list(REPORT_FORMATS))
    if session.as_json:
        session.emit({"search": search_id, "folder": str(output), "files": [str(path) for path in written]})
        return
    for path in written:
        session.out.print(f"{path}  [dim]{path.stat().st_size:,} bytes[/]", soft_wrap=True)


def write_report(search: Search, folder: Path, forms: Sequence[str]) -> list[Path]:
    """Write forms of a report, and beside them the figures that Markdown links to, into a folder.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for form in forms:
        path = folder / f"report{REPORT_FORMATS[form]}"
        path.write_bytes(search.report(form))
        written.append(path)
    if {"markdown", "html"} & set(forms):
        for name in figure_names(json.loads(search.report("json"))):
            path = folder / f"figure-{name}"
            path.write_bytes(search.figure(name))
            written.append(path)
    return written


def figure_names(document: Mapping[str, Any]) -> list[str]:
    """Files of the figures that a report in JSON lists."""
    ids = [str(figure["id"] if isinstance(figure, Mapping) else figure) for figure in document.get("figures", ())]
    return [f"{name}.{extension}" for name in ids for extension in FIGURE_FILES]


def analysis(
    session: Session,
    subject: Annotated[str, typer.Argument(help="Search (srch_...) or ticket (tkt_...).", metavar="ID")],
    name: Annotated[
        str,
        typer.Argument(
            help="overlap, signs, distributions, layer_densities, movement, instability; of searches also barrier "
            "and verdict."
        ),
    ],
) -> None:
    """Show an analysis of a search or of a ticket; --json has all of it."""
    with session.client() as client:
        whose = client.ticket(subject) if subject.startswith("tkt_") else client.search(subject)
        document = whose.analysis(name)
    if session.as_json:
        session.emit(document)
        return
    show(session, document)


def show(session: Session, document: Mapping[str, Any]) -> None:
    """Print an analysis: its single values, one table per list, what was left out, and what the words mean."""
    results = {name: value for name, value in document.items() if name not in HEAD}
    for name, value in flat({name: value for name, value in results.items() if not isinstance(value, list)}).items():
        session.out.print(Text(f"{name}: {_cell(value)}"))
    for name, rows in results.items():
        if isinstance(rows, list) and rows and isinstance(rows[0], Mapping):
            _table(session, name, [flat(row) for row in rows])
        elif isinstance(rows, list) and rows and isinstance(rows[0], str):
            for sentence in rows:
                session.out.print(Text(f"{name}: {sentence}"), soft_wrap=True)
    for left_out in document.get("skipped") or ():
        where = ", ".join(f"{key} {value}" for key, value in left_out.items() if key != "reason")
        session.note(f"left out: {where}: {left_out.get('reason')}")
    for word, meaning in (document.get("definitions") or {}).items():
        session.out.print(Text.assemble((f"{word}: ", "bold dim"), (str(meaning), "dim")), soft_wrap=True)


def flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The single values of nested objects by dotted names; of a spread the mean, of a list nothing."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            found |= {path: value["mean"]} if {"mean", "min", "max"} <= value.keys() else flat(value, f"{path}.")
        elif not isinstance(value, list):
            found[path] = value
    return found


def _table(session: Session, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = new_table(*(_heading(name) for name in columns), title=title.replace("_", " "))
    for column, name in zip(table.columns, columns, strict=True):
        column.justify = "right" if any(isinstance(row.get(name), int | float) for row in rows) else "left"
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in columns))
    session.out.print(table)


def _heading(name: str) -> str:
    return "\n".join(word.replace("_", " ") for word in _words(name))


def _words(name: str) -> Iterator[str]:
    """The parts of a dotted name that tell it from its neighbours."""
    parts = name.split(".")
    yield from (part for part in parts if part not in ("mean", "total") or len(parts) == 1)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
