"""What workers can be asked to derive: exports, analyses and reports by name, and the versions they are made at."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, cast

Kind = Literal["export", "analysis", "report"]

EXPORTS = ("torch_prune", "open_lth")
"""Forms of a ticket that need torch."""
TICKET_ANALYSES = ("overlap", "signs", "distributions", "layer_densities", "movement", "instability")
"""What is computed about one ticket, or about it and its replicate siblings."""
SEARCH_ANALYSES = (*TICKET_ANALYSES, "barrier", "verdict")
"""What is computed about all levels of a search."""
REPORTS = ("json", "markdown", "html", "csv", "bibtex")
"""Forms of a search's report; its figures are `figure-<id>.svg` and `figure-<id>.png`."""
FINAL = "final"
"""Version of what can never change again."""

_FIGURE = re.compile(r"figure-[a-z0-9][a-z0-9_-]{0,62}\.(svg|png)")


@dataclass(frozen=True)
class Job:
    """Something that a worker is asked to derive.

    Attributes:
        tenant: Whose it is.
        subject: Id of a ticket or of a search.
        kind: What sort of thing.
        name: Which one of its kind.
        version: `final`, or the number of levels that were committed when it was asked for or begun.
    """

    tenant: str
    subject: str
    kind: Kind
    name: str
    version: str = FINAL

    @property
    def member(self) -> str:
        """Its name in the queue, in which it waits once, whatever its version."""
        return f"{self.tenant}/{self.field}"

    @property
    def field(self) -> str:
        """Its name among what was made for its tenant."""
        return f"{self.subject}/{self.kind}/{self.name}"

    @property
    def is_kept(self) -> bool:
        """Whether it is a result of an ended search, and so outlives the index."""
        return self.kind != "export" and self.version == FINAL

    @classmethod
    def of_member(cls, member: str) -> Job:
        """Read it from the queue, as if it were final."""
        tenant, subject, kind, name = member.split("/")
        return cls(tenant, subject, cast("Kind", kind), name)

    def is_met_by(self, version: str) -> bool:
        """Tell whether what was made at a version is new enough."""
        return _rank(version) >= _rank(self.version)


def check_name(subject: str, kind: Kind, name: str) -> None:
    """Refuse what no worker makes.

    Raises:
        ValueError: Naming what there is.
    """
    of_ticket = subject.startswith("tkt_")
    known = {
        "export": EXPORTS if of_ticket else (),
        "analysis": TICKET_ANALYSES if of_ticket else SEARCH_ANALYSES,
        "report": () if of_ticket else REPORTS,
    }[kind]
    is_figure = kind == "report" and not of_ticket and _FIGURE.fullmatch(name) is not None
    if name not in known and not is_figure:
        raise ValueError(f"{kind} must be one of {', '.join(known) or 'none'}, got {name!r}")


def _rank(version: str) -> float:
    return math.inf if version == FINAL else int(version)
