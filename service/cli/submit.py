"""`lth submit`: a body from a file or a preset, changed on the command line, sent once and followed if wished."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli import exits, watch
from service.cli.exits import UsageError
from service.cli.overrides import apply, parse_labels
from service.cli.session import Session, command
from service.cli.tables import status_text
from service.client import Client


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "submit")(submit)


def submit(
    session: Session,
    file: Annotated[Path | None, typer.Argument(help="Body as JSON or TOML; - reads JSON from stdin.")] = None,
    preset: Annotated[str | None, typer.Option(help="Begin with this preset (lth preset ls).")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value: train.steps=6000, prune.levels=12, ...")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="Transfer this ticket, tkt_... or upl_...: method, init and levels follow.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the search.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Label, name=value; may be repeated.")] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only say what it would cost.")] = False,
    validate: Annotated[bool, typer.Option("--validate", help="Only check it.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; the exit code says how it ended.")] = False,
    watching: Annotated[bool, typer.Option("--watch", help="Show live progress until the end.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait with --wait.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Name of this submission: the same name never makes a second search.")
    ] = None,
) -> int | None:
    """Submit a search."""
    if sum((estimate, validate, wait, watching)) > 1:
        raise UsageError("choose one of --estimate, --validate, --wait and --watch")
    with session.client() as client:
        body = _body(client, file, preset)
        if init is not None:
            body = apply(body, transfer_of(init))
        body = apply(body, changes or [])
        if name is not None:
            body["name"] = name
        if label:
            body["labels"] = dict(body.get("labels") or {}) | parse_labels(label)
        if estimate or validate:
            return _estimate(session, client.validate(body), briefly=validate)
        search = client.submit(body, idempotency_key=idempotency_key)
    if session.as_json and not watching:
        session.emit(search.document)
    elif not session.as_json:
        session.out.print(search.id)
    if watching:
        return watch.watch(session, search.id)
    if wait:
        return _wait(session, search.id, timeout)
    if not session.as_json:
        session.note(f"watch it with: lth watch {search.id}")
    return None


def _body(client: Client, file: Path | None, preset: str | None) -> dict[str, Any]:
    if (file is None) == (preset is None):
        raise UsageError("name a file or a --preset, for example: lth submit --preset lenet-digits --watch")
    if preset is not None:
        return dict(client.get(f"/v1/presets/{preset}"))
    assert file is not None
    body = read_body(file)
    return body if "spec" in body else {"spec": body}


def transfer_of(name: str) -> list[str]:
    """What makes a search the transfer of a ticket: its method, where the ticket comes from, and one level.

    Raises:
        UsageError: If it is neither a ticket nor an upload.
    """
    kind = {"tkt_": "ticket", "upl_": "upload"}.get(name[:4])
    if kind is None:
        raise UsageError(f"--init {name!r}: name a ticket (tkt_...) or an upload (upl_...)")
    return ["method=transfer", f'init={{"{kind}": "{name}"}}', "prune.levels=1"]


def read_body(file: Path) -> dict[str, Any]:
    """A JSON or TOML file as a body.

    Raises:
        UsageError: If it cannot be read.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        body = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from None
    if not isinstance(body, dict):
        raise UsageError(f"{file}: the body must be an object")
    return body


def _estimate(session: Session, answer: dict[str, Any], *, briefly: bool) -> int:
    if session.as_json:
        session.emit(answer)
    else:
        sizes = ", ".join(
            f"{answer[key]:,} {key}" for key in ("settings", "lineages", "levels", "steps") if key in answer
        )
        session.out.print(f"[green]valid[/]: {sizes}")
        seconds = (answer.get("gpu_seconds") or {}).get("p50")
        if seconds is not None and not briefly:
            session.out.print(f"about {seconds:,.0f} GPU-seconds ({answer['gpu_seconds'].get('basis', '')})")
    return exits.DONE if answer.get("fits", True) else exits.QUOTA


def _wait(session: Session, search_id: str, timeout: float | None) -> int:
    try:
        with session.client(patient=True) as client:
            search = client.search(search_id).wait_for_end(timeout)
    except KeyboardInterrupt:
        session.note(f"detached; the search goes on. Watch it: lth watch {search_id}")
        return exits.DETACHED
    if session.as_json:
        session.emit(search.document)
    else:
        session.out.print(status_text(search.status))
    return exits.for_search(search.status)
