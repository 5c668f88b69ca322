"""`lth keys` and `lth admin`: what goes through the admin listener, which only this machine can reach."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from service.cli.session import HASTY, Session, command
from service.cli.tables import age, new_table
from service.local.home import Home
from service.wire.transport import Transport

keys_app = typer.Typer(help="API keys (through the admin listener).", no_args_is_help=True)
admin_app = typer.Typer(help="Care of the service (through the admin listener).", no_args_is_help=True)


def admin_address(session: Session) -> str:
    """Unix socket or host:port of the admin listener: `LTH_ADMIN_LISTEN`, else the one of this home."""
    home = Home.at(session.home)
    note = home.read(home.up_file) or {}
    return os.environ.get("LTH_ADMIN_LISTEN") or str(note.get("admin") or home.run / "admin.sock")


def ask(session: Session, method: str, path: str, **options: Any) -> Any:
    """The JSON answer of the admin listener, or None where it is empty."""
    address = admin_address(session)
    socket = address.removeprefix("unix:") if "/" in address else None
    url = "http://localhost" if socket else f"http://{address}"
    transport = Transport(url, session.key, HASTY, socket)
    transport.url = address
    try:
        answer = transport.request(method, path, **options)
        return answer.json() if answer.content else None
    finally:
        transport.close()


def create(
    session: Session,
    tenant: Annotated[str, typer.Option(help="Whose searches the key sees.")] = "local",
    scope: Annotated[list[str] | None, typer.Option(help="read, write or admin; may be repeated.")] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires_at: Annotated[str | None, typer.Option(help="RFC 3339 time when it ends.")] = None,
) -> None:
    """Make an API key; its secret is shown once and kept nowhere."""
    body = {"tenant": tenant, "scopes": scope or ["read", "write"], "name": name, "expires_at": expires_at}
    made = ask(session, "POST", "/admin/v1/keys", json={k: v for k, v in body.items() if v not in (None, "")})
    if session.as_json:
        session.emit(made)
    else:
        session.out.print(made["key"], soft_wrap=True)
        session.note(f"key {made['id']} of tenant {made['tenant']}, {', '.join(made['scopes'])}; not shown again")


def ls(session: Session) -> None:
    """List the API keys, without their secrets."""
    found = ask(session, "GET", "/admin/v1/keys")["data"]
    if session.as_json:
        session.emit(found)
        return
    table = new_table("id", "tenant", "scopes", "name", "age", "expires", right=("age",))
    for key in found:
        cells = (key["id"], key["tenant"], " ".join(key["scopes"]), key.get("name") or "", age(key.get("created_at")))
        table.add_row(*cells, (key.get("revoked_at") and "revoked") or key.get("expires_at") or "never")
    session.out.print(table)


def revoke(session: Session, key_id: Annotated[str, typer.Argument(metavar="KEY", help="Id of the key.")]) -> None:
    """Revoke an API key at once."""
    answer = ask(session, "DELETE", f"/admin/v1/keys/{key_id}")
    if session.as_json:
        session.emit(answer or {"id": key_id, "revoked": True})
    else:
        session.out.print(f"revoked {key_id}")


def rebuild(session: Session) -> None:
    """Write the index anew from the object store."""
    answer = ask(session, "POST", "/admin/v1/rebuild")
    if session.as_json:
        session.emit(answer)
    else:
        session.out.print(f"index rebuilt, generation {answer['generation']}")


command(keys_app, "create")(create)
command(keys_app, "ls")(ls)
command(keys_app, "revoke")(revoke)
command(admin_app, "rebuild")(rebuild)
