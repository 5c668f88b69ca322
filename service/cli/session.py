"""What every command shares: `--json`, `--url`, `--key`, the connection, output, and errors as exit codes."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from service.cli import exits
from service.client import Client
from service.local.home import CannotStart, Home
from service.wire.problems import LthError, ProblemError
from service.wire.transport import DEFAULT_URL, RetryPolicy

HASTY = RetryPolicy(unreachable_s=3.0, refused_s=60.0)
PATIENT = RetryPolicy(unreachable_s=120.0, refused_s=300.0)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", envvar="LTH_URL", help="Address of the service.", show_default=False)
]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", envvar="LTH_API_KEY", show_envvar=True, help="API key.", show_default=False),
]
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", envvar="LTH_HOME", help="Folder of the local service.", show_default="~/.lth"),
]


def new_console() -> Console:
    """Stdout as rich writes to it; wide enough for tables where it is no terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 132)


@dataclass
class Session:
    """One invocation of `lth`."""

    as_json: bool = False
    url: str | None = None
    key: str | None = None
    home: Path | None = None
    out: Console = field(default_factory=new_console)
    err: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))

    def address(self) -> str:
        """The service to talk to: `--url`, else the one that runs on this home, else the usual port."""
        if self.url:
            return self.url
        note = Home.at(self.home)
        running = note.read(note.up_file)
        return str(running["url"]) if running and running.get("ready") else DEFAULT_URL

    def client(self, *, patient: bool = False) -> Client:
        """A connection; a patient one outlasts a restart of the service."""
        return Client(self.address(), key=self.key, policy=PATIENT if patient else HASTY)

    def emit(self, document: Any) -> None:
        """Print one JSON document on one line."""
        sys.stdout.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Tell people something that programs need not read."""
        self.err.print(text, soft_wrap=True)

    def complain(self, error: BaseException) -> None:
        """Say what went wrong, on stderr."""
        if self.as_json:
            document = error.document if isinstance(error, ProblemError) else {"detail": str(error)}
            sys.stderr.write(json.dumps({"error": document}, default=str) + "\n")
            return
        detail = error.detail if isinstance(error, ProblemError) else str(error)
        self.err.print(Text.assemble(("error: ", "bold red"), detail), soft_wrap=True)
        if not isinstance(error, ProblemError):
            return
        for item in error.errors:
            where, what = str(item.get("pointer") or ""), str(item.get("detail") or "")
            if not (where in error.detail and what in error.detail):
                self.err.print(Text.assemble("  ", (where, "cyan"), f" {what}"), soft_wrap=True)
        if error.status >= 500 and error.request_id:
            self.err.print(Text(f"  request {error.request_id}", style="dim"))


def run(session: Session, body: Callable[[], int | None]) -> None:
    """Run the body of a command and leave with its exit code."""
    try:
        code = body() or exits.DONE
    except (LthError, CannotStart) as error:
        session.complain(error)
        code = exits.for_error(error)
    except KeyboardInterrupt:
        code = exits.DETACHED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = exits.DONE
    raise typer.Exit(code)


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Register `body(session, ...)` as a command with the shared options; it returns an exit code or None.

    Args:
        app: Where the command belongs.
        name: Its name.
    """
    extra = {"as_json": JsonOption, "url": UrlOption, "key": KeyOption, "home": HomeOption}

    def register(body: Callable[..., int | None]) -> Callable[..., int | None]:
        signature = inspect.signature(body, eval_str=True)
        own = list(signature.parameters.values())[1:]
        shared = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=False if key == "as_json" else None,
                              annotation=annotation)
            for key, annotation in extra.items()
        ]  # fmt: skip

        @functools.wraps(body)
        def entry(**given: Any) -> None:
            session = Session(**{key: given.pop(key) for key in extra})
            run(session, lambda: body(session, **given))

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + shared
        entry.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        entry.__annotations__ = {p.name: p.annotation for p in parameters}
        del entry.__wrapped__
        app.command(name)(entry)
        return body

    return register
