"""Following a search on the terminal: a live picture where there is one, a line per event where there is not."""

from __future__ import annotations

import asyncio
import contextlib

from rich.live import Live

from service.cli import exits
from service.cli.board import Board
from service.cli.results import results_of
from service.cli.session import PATIENT, Session
from service.cli.tables import results_legend, results_tables, status_text
from service.client import AsyncClient, AsyncSearch, Search
from service.wire.documents import Event

POLL_S = 0.7
LAST_WORDS_S = 3.0
QUIET_TYPES = frozenset({"level.started", "level.metrics"})


def watch(session: Session, search_id: str) -> int:
    """Follow a search to its end, or until Ctrl-C detaches; the exit code says how it ended."""
    try:
        return follow(session, search_id)
    except KeyboardInterrupt:
        session.note(f"detached; the search goes on. Watch it again: lth watch {search_id}")
        return exits.DETACHED


def follow(session: Session, search_id: str) -> int:
    """Follow a search to its end; the exit code says how it ended."""
    if session.as_json:
        _print_events(session, search_id)
    elif session.out.is_terminal:
        asyncio.run(_show(session, search_id))
    else:
        _tell_events(session, search_id)
    with session.client(patient=True) as client:
        search = client.search(search_id)
        if not session.as_json:
            show_end(session, search)
        return exits.for_search(search.status)


def show_end(session: Session, search: Search) -> None:
    """Print the results of a search that has ended."""
    _, rows = results_of(search)
    if rows:
        session.out.print(*results_tables(rows, session.out.width))
        session.out.print(results_legend(rows))
    line = status_text(search.status)
    reason = search.document.get("reason")
    session.out.print(line.append(f" ({reason})" if reason else "").append(f"  {search.id}", style="dim"))


async def _show(session: Session, search_id: str) -> None:
    async with AsyncClient(session.address(), key=session.key, policy=PATIENT) as client:
        search = await client.search(search_id)
        board = Board(search.document)
        with Live(board, console=session.out, refresh_per_second=8, transient=True):
            listener = asyncio.create_task(_listen(search, board))
            try:
                await _poll(search, board)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(listener, LAST_WORDS_S)
            finally:
                listener.cancel()


async def _listen(search: AsyncSearch, board: Board) -> None:
    async for event in search.events():
        board.hear(event)


async def _poll(search: AsyncSearch, board: Board) -> None:
    while True:
        await search.refresh()
        board.search = search.document
        board.lineages = [lineage async for lineage in search.lineages()]
        if search.is_terminal:
            return
        await asyncio.sleep(POLL_S)


def _print_events(session: Session, search_id: str) -> None:
    with session.client(patient=True) as client:
        for event in client.search(search_id).events():
            session.emit(event.as_json())


def _tell_events(session: Session, search_id: str) -> None:
    with session.client(patient=True) as client:
        search = client.search(search_id)
        names = {str(lineage["id"]): _name(lineage) for lineage in search.lineages()}
        for event in search.events():
            if event.type not in QUIET_TYPES:
                session.out.print(event_line(event, names), soft_wrap=True)


def _name(lineage: dict[str, object]) -> str:
    return f"{lineage['treatment']} seed {lineage['replicate']}"


def event_line(event: Event, names: dict[str, str]) -> str:
    """One event in one line for people: time, type, lineage, level and what it measured."""
    data = event.data
    words = [event.at[11:19], f"{event.type:<18}"]
    if event.lineage:
        words.append(names.get(event.lineage, event.lineage))
    if event.level is not None:
        words.append(f"level {event.level}")
    if data.get("density") is not None:
        words.append(f"density {data['density']:.4f}")
    if data.get("test_accuracy") is not None:
        words.append(f"accuracy {data['test_accuracy']:.4f}")
    return "  ".join(words)
