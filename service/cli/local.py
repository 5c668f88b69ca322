"""`lth up` and `lth down`: the whole service on this machine."""

from __future__ import annotations

import subprocess
import time
from typing import Annotated, Any

import typer
from rich.panel import Panel
from rich.text import Text

from service.cli import exits
from service.cli.session import Session, command
from service.local import up as supervisor
from service.local.home import Home
from service.local.up import UpOptions

Port = Annotated[
    int | None,
    typer.Option(help="Port of the API; 0 takes a free one.", min=0, max=65535, show_default="8420, or LTH_LISTEN"),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "up")(up)
    command(app, "down")(down)


def up(
    session: Session,
    port: Port = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running and return when it is ready.")] = False,
    gpus: Annotated[
        int | None, typer.Option(help="GPUs for the local Ray.", min=0, show_default="LTH_NUM_GPUS, or none")
    ] = None,
) -> int | None:
    """Start the service: index, object store, API, dispatcher and a local Ray. Ctrl-C ends it, crash-safe."""
    home = Home.at(session.home)
    options = UpOptions(home, port, gpus)
    begin = time.monotonic()
    if detach:
        _announce(session, home, start_detached(options), time.monotonic() - begin, detached=True)
        return None
    if not session.as_json:
        session.note(f"[dim]starting in {home.path} ...[/]")
    supervisor.serve(
        options,
        say=lambda text: session.err.print(Text(text, style="yellow"), soft_wrap=True),
        announce=lambda note: _announce(session, home, note, time.monotonic() - begin, detached=False),
    )
    if not session.as_json:
        session.note("[dim]stopped; everything is kept[/]")
    return None


def start_detached(options: UpOptions) -> dict[str, Any]:
    """Start a service that outlives us, and wait until it is ready.

    Raises:
        CannotStart: If it does not come up.
    """
    options.home.make()
    log = options.home.logs / "up.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            options.argv(),
            env=options.env(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return supervisor.wait_until_ready(options.home, process, log)


def down(session: Session) -> int:
    """Stop the service of this home; searches go on when it is started again."""
    home = Home.at(session.home)
    was_running = supervisor.stop(home)
    if session.as_json:
        session.emit({"home": str(home.path), "stopped": was_running})
    else:
        session.note("stopped; everything is kept" if was_running else f"nothing runs in {home.path}")
    return exits.DONE


def _announce(session: Session, home: Home, note: dict[str, Any], seconds: float, *, detached: bool) -> None:
    if session.as_json:
        session.emit({"url": note["url"], "pid": note["pid"], "home": str(home.path)})
        return
    session.out.print(f"READY {note['url']}", soft_wrap=True)
    if session.out.is_terminal:
        text = Text.assemble(
            ("API      ", "dim"), str(note["url"]), "\n",
            ("OpenAPI  ", "dim"), f"{note['url']}/openapi.json\n",
            ("home     ", "dim"), f"{home.path}\n",
            ("logs     ", "dim"), f"{home.logs}\n",
            ("try      ", "dim"), "lth submit --preset lenet-digits --watch\n",
            ("stop     ", "dim"), "lth down" if detached else "Ctrl-C",
        )  # fmt: skip
        session.out.print(Panel(text, title=f"ready in {seconds:.1f} s", border_style="green", expand=False))
