"""`lth demo`: a whole search on this machine, from nothing to a verified ticket, and everything ended afterwards."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from service.cli import children, exits, watch
from service.cli.overrides import apply
from service.cli.plot import plot_search
from service.cli.results import WINNING, levels_by_treatment, results_of
from service.cli.searches import plot_title
from service.cli.session import Session, command
from service.client import Search, Ticket
from service.local import processes
from service.local import up as supervisor
from service.local.home import Home
from service.local.up import UpOptions

PRESET = "lenet-digits"
STOP_GRACE_S = 45.0


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "demo")(demo)


def demo(
    session: Session,
    output: Annotated[Path, typer.Option("-o", "--out", help="Folder for plot and ticket.")] = Path("demo"),
    changes: Annotated[list[str] | None, typer.Option("--set", help="Change the preset: prune.levels=3, ...")] = None,
) -> int:
    """Search tickets on real digits: a service of its own, live progress, table, plot, and a verified ticket."""
    begin = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        if session.home is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lth-", ignore_cleanup_errors=True))
            session.home = Path(folder)
        _tell(session, "starting Valkey, API, dispatcher and Ray")
        session.url = stack.enter_context(running_service(Home.at(session.home)))
        _tell(session, f"ready at {session.url} after {time.monotonic() - begin:.0f} s; submitting {PRESET}")
        code = search_and_keep(session, output, changes or [])
    _tell(session, f"{'done' if code == exits.DONE else 'failed'} in {time.monotonic() - begin:.0f} s, all ended")
    return code


@contextlib.contextmanager
def running_service(home: Home) -> Iterator[str]:
    """A service on free ports for the length of the block; yields its address.

    Raises:
        CannotStart: If it does not come up.
    """
    home.make()
    log = home.logs / "up.log"
    options = UpOptions(home, port=0)
    process = processes.start(options.argv(), options.env(), log)
    try:
        yield str(supervisor.wait_until_ready(home, process, log)["url"])
    finally:
        process.terminate()
        with contextlib.suppress(KeyboardInterrupt):
            process.wait(STOP_GRACE_S)


def search_and_keep(session: Session, output: Path, changes: Sequence[str]) -> int:
    """Submit, follow, show, draw, download and verify; the exit code of the first step that fails."""
    with session.client(patient=True) as client:
        search = client.submit(apply(client.get(f"/v1/presets/{PRESET}"), changes))
        code = watch.follow(session, search.id)
        if code != exits.DONE:
            return code
        search.refresh()
        points, _ = results_of(search)
        output.mkdir(parents=True, exist_ok=True)
        plot = plot_search(levels_by_treatment(points), output / f"{PRESET}.png", plot_title(search.document))
        ticket = best_ticket(search)
        if ticket is None:
            session.complain(exits.UsageError("the search succeeded without a ticket"))
            return exits.FAILED
        files = ticket.download(output / ticket.id)
        num_kept = sum(int(mask.sum()) for mask in ticket.mask().values())
    _tell(session, f"verifying {ticket.id}: level {ticket.level}, density {ticket.density:.4f}, {num_kept:,} weights")
    verified = children.run(session, "workers.verify", [ticket.id])
    if session.as_json:
        session.emit({"search": search.id, "plot": str(plot), "ticket": ticket.id, "files": [str(f) for f in files]})
    else:
        session.out.print(Text.assemble(("plot    ", "dim"), str(plot.absolute())), soft_wrap=True)
        state = "verified" if verified == exits.DONE else "NOT verified"
        folder = str((output / ticket.id).absolute())
        session.out.print(Text.assemble(("ticket  ", "dim"), folder, f"  ({state})"), soft_wrap=True)
    return verified


def best_ticket(search: Search) -> Ticket | None:
    """The ticket that the search calls its best, or the sparsest one if none wins."""
    winners = (ticket for ticket in search.tickets() if ticket.document.get("treatment") == WINNING)
    return search.best or min(winners, key=lambda ticket: ticket.density, default=None)


def _tell(session: Session, text: str) -> None:
    if not session.as_json:
        session.err.print(Text.assemble(("▸ ", "blue"), (text, "bold")), soft_wrap=True)
