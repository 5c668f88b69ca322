"""What a verification found: one named line per check, passed, failed or skipped with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.table import Table

Status = Literal["pass", "fail", "skipped"]


class Failed(Exception):  # noqa: N818 - the outcome of a check, not an error of the program
    """A check found something wrong; its text says what."""


class Skipped(Exception):  # noqa: N818 - the outcome of a check, not an error of the program
    """A check could not be made; its text says why."""


@dataclass(frozen=True)
class Check:
    """One check: its name, its outcome, and what was compared or why not."""

    name: str
    status: Status
    detail: str


@dataclass(frozen=True)
class Report:
    """All checks of one ticket, in the order in which they were made."""

    ticket: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.status != "fail" for check in self.checks)

    def status(self, name: str) -> Status:
        """Return the outcome of one check.

        Raises:
            KeyError: If no check has this name.
        """
        return {check.name: check.status for check in self.checks}[name]

    def as_json(self) -> dict[str, Any]:
        """Return the report as a JSON document."""
        checks = [asdict(check) for check in self.checks]
        return {"object": "verification", "ticket": self.ticket, "ok": self.ok, "checks": checks}

    def as_table(self) -> Table:
        """Return the report as a table for a terminal."""
        colours = {"pass": "green", "fail": "red", "skipped": "yellow"}
        table = Table("check", "outcome", "detail", title=self.ticket)
        for check in self.checks:
            table.add_row(check.name, f"[{colours[check.status]}]{check.status}[/]", check.detail)
        return table


def run_check(name: str, compare: Callable[[], str]) -> Check:
    """Make one check.

    Args:
        name: What is checked.
        compare: Returns what was compared, or raises `Failed` or `Skipped`. Stored documents may hold anything, so
            an error in reading them is a failed check, never a failed program.
    """
    try:
        return Check(name, "pass", compare())
    except Skipped as reason:
        return Check(name, "skipped", str(reason))
    except Failed as reason:
        return Check(name, "fail", str(reason))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        return Check(name, "fail", f"unreadable: {type(error).__name__}: {error}")
