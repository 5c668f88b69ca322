"""The live picture of a search: overall progress, and one line per lineage with its level, step and accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from service.cli.results import WINNING, setting_text
from service.cli.tables import new_table, share, status_text
from service.wire.documents import Event

MAX_ROWS = 30
SPARKS = "▁▂▃▄▅▆▇█"
BUSY = ("running", "retrying")


@dataclass
class Trail:
    """What the levels of one lineage have measured so far.

    Attributes:
        accuracy: Test accuracy by level.
        density: Density by level.
    """

    accuracy: dict[int, float] = field(default_factory=dict)
    density: dict[int, float] = field(default_factory=dict)


@dataclass
class Board:
    """Everything the live picture shows.

    Attributes:
        search: The search document.
        lineages: Its lineage documents.
        trails: By lineage.
        num_tickets: How many were found.
    """

    search: Mapping[str, Any]
    lineages: Sequence[Mapping[str, Any]] = ()
    trails: dict[str, Trail] = field(default_factory=dict)
    num_tickets: int = 0

    def hear(self, event: Event) -> None:
        """Take an event into the picture."""
        if event.type == "ticket.found":
            self.num_tickets += 1
        if event.type != "level.committed" or event.lineage is None or event.level is None:
            return
        trail = self.trails.setdefault(event.lineage, Trail())
        density, accuracy = event.data.get("density"), event.data.get("test_accuracy")
        if density is not None:
            trail.density[event.level] = float(density)
        if accuracy is not None:
            trail.accuracy[event.level] = float(accuracy)

    def __rich__(self) -> RenderableType:
        return Panel(
            Group(self._head(), Text(), self._table(), *self._foot()),
            title=Text(f" {self.search.get('name') or self.search['id']} ", style="bold"),
            subtitle=Text(f" {self.search['id']} · Ctrl-C detaches, the search goes on ", style="dim"),
            border_style="blue",
            padding=(1, 2),
        )

    def _head(self) -> RenderableType:
        progress = self.search.get("progress") or {}
        done, total = int(progress.get("levels_done") or 0), int(progress.get("levels_total") or 0)
        head = Table.grid(padding=(0, 2), expand=True)
        for ratio in (None, 1, None):
            head.add_column(ratio=ratio, no_wrap=True)
        bar = ProgressBar(total=max(total, 1), completed=done, complete_style="blue", finished_style="green")
        head.add_row(status_text(str(self.search["status"])), bar, Text(f"{done}/{total} levels"))
        return head

    def _table(self) -> Table:
        numbers = ("seed", "level", "density", "accuracy")
        table = new_table("treatment", "seed", "status", "level", "step", "density", "accuracy", "", right=numbers)
        for lineage in self._shown():
            table.add_row(*self._cells(lineage))
        return table

    def _cells(self, lineage: Mapping[str, Any]) -> list[Text | str]:
        trail = self.trails.get(str(lineage["id"]), Trail())
        last = max(trail.density, default=None)
        name = str(lineage["treatment"])
        setting = setting_text(lineage.get("setting"))
        treatment = Text(name.replace("_", " "), style="bold" if name == WINNING else "")
        if setting:
            treatment.append(f"  {setting}", style="dim")
        return [
            treatment,
            str(lineage.get("replicate", "")),
            status_text(str(lineage["status"])),
            f"{lineage.get('levels_done', 0)}/{lineage.get('levels_total', 0)}",
            step_bar(lineage),
            share(trail.density.get(last) if last is not None else None),
            share(trail.accuracy.get(last) if last is not None else None),
            sparkline([trail.accuracy[level] for level in sorted(trail.accuracy)]),
        ]

    def _shown(self) -> list[Mapping[str, Any]]:
        """All lineages, or the busy ones first where they are too many."""
        if len(self.lineages) <= MAX_ROWS:
            return list(self.lineages)
        order = {"running": 0, "retrying": 0, "failed": 1, "pending": 2, "blocked": 2}
        return sorted(self.lineages, key=lambda lineage: order.get(str(lineage["status"]), 3))[:MAX_ROWS]

    def _foot(self) -> list[RenderableType]:
        lines: list[RenderableType] = []
        if len(self.lineages) > MAX_ROWS:
            counts = self.search.get("counts") or {}
            some = ", ".join(f"{num} {name}" for name, num in counts.items() if num and name != "lineages")
            lines.append(Text(f"… {len(self.lineages) - MAX_ROWS} more lineages; in all {some}", style="dim"))
        for condition in self.search.get("conditions") or []:
            if condition.get("message") and condition.get("status") != "True":
                lines.append(Text(f"{condition['type']}: {condition['message']}", style="yellow"))
        for lineage in self.lineages:
            error = lineage.get("error")
            if error:
                words = error.get("message") or error.get("detail") or error.get("class") or ""
                lines.append(Text(f"{lineage['treatment']} seed {lineage['replicate']}: {words}", style="red"))
        return lines


def step_bar(lineage: Mapping[str, Any]) -> Text:
    """How far a running level is, for example `▰▰▰▱▱▱▱▱ 1200/5000`."""
    current = lineage.get("current") or {}
    steps = int(current.get("steps") or 0)
    if str(lineage["status"]) not in BUSY or not steps:
        return Text("")
    step = min(int(current.get("step") or 0), steps)
    filled = round(8 * step / steps)
    return Text.assemble(("▰" * filled, "blue"), ("▱" * (8 - filled), "dim"), f" {step}/{steps}")


def sparkline(values: Sequence[float]) -> Text:
    """Accuracies as little bars, from the lowest to the highest of them."""
    if len(values) < 2:
        return Text("")
    low, high = min(values), max(values)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return Text("".join(SPARKS[round((value - low) * scale)] for value in values), style="cyan")
