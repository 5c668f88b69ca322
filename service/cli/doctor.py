"""`lth doctor`: what is missing on this machine, one line each, with the way to mend it."""

from __future__ import annotations

import typer
from rich.text import Text

from service.cli import exits
from service.cli.checks import CHECKS, Finding
from service.cli.session import Session, command
from service.local.home import Home

_MARKS = {"ok": ("✔", "green"), "note": ("·", "cyan"), "warning": ("!", "yellow"), "bad": ("✘", "bold red")}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "doctor")(doctor)


def doctor(session: Session) -> int:
    """Check this machine and the service on it; exit 1 if something must be mended."""
    home = Home.at(session.home)
    findings = []
    for check in CHECKS:
        finding = check(home, session.url)
        findings.append(finding)
        if not session.as_json:
            session.out.print(_line(finding), soft_wrap=True)
    if session.as_json:
        session.emit([vars(finding) for finding in findings])
    return exits.FAULT if any(finding.state == "bad" for finding in findings) else exits.DONE


def _line(finding: Finding) -> Text:
    mark, style = _MARKS[finding.state]
    line = Text.assemble((f"{mark} ", style), (f"{finding.name:<12}", "bold"), finding.detail)
    return line.append(f"  →  {finding.fix}", style="yellow") if finding.fix else line
