"""All that is known of one search at one moment: what every document about it is a pure function of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lth_core.expansion import PlannedLineage
from lth_core.inputs import inputs_of
from service.store.log import LogRecord, LogState, fold
from service.store.plans import Plan
from service.store.summaries import Levels, Summary

_STATES = ("pending", "running", "retrying", "blocked", "paused")


@dataclass(frozen=True)
class Facts:
    """A search's specification, log, levels and results, and the passing picture that its driver paints.

    Attributes:
        plan: The accepted search and its lineages.
        records: Its log.
        levels: Committed levels of all its keys, whoever committed them.
        results: Verdicts and best ticket, once judged.
        overlay: What the driver last said of running lineages; gone when the driver is.
        queue_position: Place in the queue from 0, None where it does not wait or is unknown.
    """

    plan: Plan
    records: tuple[LogRecord, ...] = ()
    levels: Levels = field(default_factory=dict)
    results: Mapping[str, Any] | None = None
    overlay: Mapping[str, Any] = field(default_factory=dict)
    queue_position: int | None = None

    @cached_property
    def log(self) -> LogState:
        """What the log decides."""
        return fold(self.records)

    def level(self, lineage: PlannedLineage, level: int) -> Summary | None:
        """Return a committed level of a lineage, None if it is not committed."""
        return self.levels.get(lineage.key_of_level(level), {}).get(level)

    def committed(self, lineage: PlannedLineage) -> list[Summary]:
        """Return a lineage's committed levels from its first one on, without a gap."""
        found: list[Summary] = []
        for level in range(lineage.first_level, lineage.first_level + lineage.num_levels):
            summary = self.level(lineage, level)
            if summary is None:
                break
            found.append(summary)
        return found

    def overlay_of(self, lineage: PlannedLineage) -> Mapping[str, Any]:
        """Return what the driver last said of a lineage."""
        found: Mapping[str, Any] = self.overlay.get("lineages", {}).get(self.plan.ids[lineage.key], {})
        return found

    def status(self) -> str:
        """The search's state: what the log decides, or else what the driver says, or else how far it came."""
        if self.log.terminal is not None:
            return self.log.terminal.status
        if self.log.wish is not None:
            return "cancelling"
        if self.overlay.get("status") in ("provisioning", "running"):
            return str(self.overlay["status"])
        if self.log.epoch is None:
            return "queued"
        return "running" if self.first_commit_at() else "provisioning"

    def first_commit_at(self) -> str | None:
        """When the first level was committed for this search, None if none was."""
        own = [
            level["committed_at"]
            for key in self.plan.keys
            for level in self.levels.get(key, {}).values()
            if level["search"] == self.plan.id
        ]
        return min(own, default=None)

    def lineage_status(self, lineage: PlannedLineage) -> tuple[str, str | None]:
        """Return a lineage's state and the reason for it, if it has one."""
        committed = self.committed(lineage)
        outcome = self.log.outcomes.get(self.plan.ids[lineage.key])
        if len(committed) == lineage.num_levels and not committed[-1]["collapsed"]:
            return "succeeded", None
        if outcome is not None:
            return outcome.status, outcome.reason
        if committed and committed[-1]["collapsed"]:
            return "stopped", "collapsed"
        if self.log.terminal is not None:
            return ("cancelled" if self.log.terminal.status == "cancelled" else "skipped"), self.log.terminal.reason
        live = self.overlay_of(lineage).get("status")
        if live in _STATES:
            return str(live), self.overlay_of(lineage).get("reason")
        return ("blocked" if self._waits_for_mask(lineage, len(committed)) else "pending"), None

    def _waits_for_mask(self, lineage: PlannedLineage, num_committed: int) -> bool:
        if lineage.source_key is None:
            return False
        places = inputs_of(lineage, lineage.first_level + num_committed).values()
        return any(place.level not in self.levels.get(place.key, {}) for place in places)
