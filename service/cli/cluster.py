"""`lth cluster`: what the cluster is doing, and how many engines it may have."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.live import Live

from service.cli.admin import ask
from service.cli.cluster_tables import scale_table, status_view
from service.cli.exits import UsageError
from service.cli.session import Session, command
from service.client import Client

SCALE = "/admin/v1/scale"
WATCH_EVERY_S = 2.0
_BOUNDS = re.compile(r"(\d{0,6}):(\d{0,6})")

app = typer.Typer(help="The cluster: engines, machines, and how many there may be.", no_args_is_help=True)


def status(
    session: Session,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds, until Ctrl-C.")] = False,
) -> None:
    """Show engines, slots, machines, what waits and what happened lately."""
    with session.client(patient=watch) as client:
        if session.as_json or not session.out.is_terminal or not watch:
            _print(session, client)
            while watch:
                time.sleep(WATCH_EVERY_S)
                _print(session, client)
            return
        with Live(_view(client), console=session.out, auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_EVERY_S)
                live.update(_view(client), refresh=True)


def scale(
    session: Session,
    cpu: Annotated[str | None, typer.Option(metavar="MIN:MAX", help="Engines on CPUs; either may be left out.")] = None,
    cuda: Annotated[str | None, typer.Option(metavar="MIN:MAX", help="Engines on GPUs.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Bound nothing any more.")] = False,
) -> None:
    """Bound the engines (through the admin listener); without options, show the bounds.

    MIN engines are kept without work too, MAX are never exceeded; a busy engine is not ended for it. What is left
    out means none: `2:` keeps two, `:4` allows four.
    """
    wishes = {name: bounds(name, text) for name, text in (("cpu", cpu), ("cuda", cuda)) if text is not None}
    if reset and wishes:
        raise UsageError("--reset takes all bounds away; leave --cpu and --cuda out")
    if reset:
        ask(session, "DELETE", SCALE)
    standing = ask(session, "POST", SCALE, json=wishes) if wishes else ask(session, "GET", SCALE)
    if session.as_json:
        session.emit(standing)
    else:
        session.out.print(scale_table(standing))


def bounds(name: str, text: str) -> dict[str, int | None]:
    """Read `MIN:MAX`, either of which may be left out.

    Raises:
        UsageError: If it is nothing of the kind.
    """
    found = _BOUNDS.fullmatch(text)
    if found is None:
        raise UsageError(f"--{name} {text!r}: write it as MIN:MAX, for example 1:4, 2: or :4")
    low, high = found.groups()
    return {"min": int(low or 0), "max": int(high) if high else None}


def _print(session: Session, client: Client) -> None:
    if session.as_json:
        session.emit(_look(client))
    else:
        session.out.print(_view(client))


def _look(client: Client) -> dict[str, Any]:
    return client.cluster() | {"nodes": client.nodes()["data"]}


def _view(client: Client) -> RenderableType:
    return status_view(_look(client))


command(app, "status")(status)
command(app, "scale")(scale)
