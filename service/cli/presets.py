"""`lth preset`: the ready-made bodies of the service."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from service.cli.session import Session, command
from service.cli.tables import new_table

app = typer.Typer(help="Ready-made searches.", no_args_is_help=True)


def ls(session: Session) -> None:
    """List the presets."""
    with session.client() as client:
        found = client.get("/v1/presets")["data"]
    if session.as_json:
        session.emit(found)
        return
    numbers = ("lineages", "levels")
    table = new_table("name", *numbers, right=numbers)
    table.add_column("what it is", overflow="fold")
    for item in found:
        table.add_row(item["name"], *(str(item.get(key, "")) for key in numbers), str(item.get("description", "")))
    session.out.print(table)


def show(session: Session, name: Annotated[str, typer.Argument(help="Name of the preset.")]) -> None:
    """Print a preset: a whole body, ready to change and submit."""
    with session.client() as client:
        body = client.get(f"/v1/presets/{name}")
    if session.as_json:
        session.emit(body)
    else:
        session.out.print_json(json.dumps(body))


command(app, "ls")(ls)
command(app, "show")(show)
