"""The search log as a pure function: numbered records in, the state that they decide out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Literal

from lth_core.canonical import FORMAT, canonical_json
from service.store.errors import UnknownFormat

SPEC_REVISION = 1
"""The accepted specification is revision 1 of a search; its log goes on at 2."""

FIRST_RECORD = SPEC_REVISION + 1
MODES = ("drain", "after_level", "kill")
"""Modes of cancelling, the stricter later."""
TERMINAL = frozenset({"succeeded", "partial", "failed", "cancelled"})
OUTCOMES = frozenset({"stopped", "failed", "skipped", "cancelled"})

RecordType = Literal["take-over", "cancel", "outcome", "rung", "suggestion", "retry", "settings", "terminal"]


@dataclass(frozen=True)
class LogRecord:
    """One numbered record of a search's log.

    Attributes:
        n: Its number; the put-if-absent of this number decided that it comes next.
        type: What it records.
        op_id: Name of the deed, the same on every try.
        at: When it was written.
        epoch: Epoch of the leader who wrote it, None for a client's wish.
        data: What belongs to the type.
    """

    n: int
    type: str
    op_id: str
    at: str
    epoch: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Encode it as the object that is stored."""
        document = {
            "format": FORMAT,
            "n": self.n,
            "type": self.type,
            "op_id": self.op_id,
            "at": self.at,
            "epoch": self.epoch,
            "data": dict(self.data),
        }
        return canonical_json(document)

    @classmethod
    def from_bytes(cls, raw: bytes) -> LogRecord:
        """Decode a stored record.

        Raises:
            UnknownFormat: If a later version wrote it.
        """
        document = json.loads(raw)
        if document.get("format") != FORMAT:
            raise UnknownFormat(f"log record has format {document.get('format')!r}, known is {FORMAT}")
        return cls(
            document["n"],
            document["type"],
            document["op_id"],
            document["at"],
            document["epoch"],
            document["data"],
        )


@dataclass(frozen=True)
class Outcome:
    """How a lineage ended without finishing its levels."""

    lineage: str
    status: str
    reason: str | None
    error: Mapping[str, Any] | None
    at: str


@dataclass(frozen=True)
class Terminal:
    """How a search ended: the first terminal record, which nothing changes."""

    status: str
    reason: str | None
    results: str | None
    at: str


@dataclass(frozen=True)
class LogState:
    """What a search's log says so far.

    Attributes:
        revision: Number of the last record, 1 while there is none.
        epoch: The highest epoch that took the search over.
        taken_over_at: When the first leader took it over.
        wish: "cancel" once a client asked for it.
        mode: The strictest mode of cancelling asked for.
        cancelled_at: When cancelling was first asked for.
        outcomes: Ends of lineages, by lineage id.
        rungs: Decisions of the scheduler, in order.
        suggestions: Suggestions of a search algorithm, in order.
        settings: The client-editable fields that were changed.
        terminal: The end, once there is one.
        op_ids: Names of all deeds recorded.
        num_stale: Records that were ignored because a higher epoch had taken over.
    """

    revision: int = SPEC_REVISION
    epoch: int | None = None
    taken_over_at: str | None = None
    wish: Literal["cancel"] | None = None
    mode: str | None = None
    cancelled_at: str | None = None
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    rungs: tuple[Mapping[str, Any], ...] = ()
    suggestions: tuple[Mapping[str, Any], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    terminal: Terminal | None = None
    op_ids: frozenset[str] = frozenset()
    num_stale: int = 0


def fold(records: Iterable[LogRecord]) -> LogState:
    """Fold a log, in the order of its numbers, into the state that it decides.

    The first terminal record is the end; after a wish to cancel the only end is `cancelled`; a record of a lower
    epoch than one that took over before it counts for nothing.

    Raises:
        UnknownFormat: If a record has a type that this version does not know.
    """
    return reduce(_step, records, LogState())


def _step(state: LogState, record: LogRecord) -> LogState:
    handler = _HANDLERS.get(record.type)
    if handler is None:
        raise UnknownFormat(f"log record {record.n} has unknown type {record.type!r}")
    if is_stale(state, record.epoch):
        return replace(state, revision=record.n, num_stale=state.num_stale + 1)
    repeated = record.op_id in state.op_ids
    seen = replace(state, revision=record.n, op_ids=state.op_ids | {record.op_id})
    if repeated or (state.terminal is not None and record.type != "settings"):
        return seen
    return handler(seen, record)


def is_stale(state: LogState, epoch: int | None) -> bool:
    """Tell whether a writer of this epoch has been overtaken by a later leader."""
    return epoch is not None and state.epoch is not None and epoch < state.epoch


def _take_over(state: LogState, record: LogRecord) -> LogState:
    return replace(state, epoch=record.epoch, taken_over_at=state.taken_over_at or record.at)


def _cancel(state: LogState, record: LogRecord) -> LogState:
    asked = str(record.data["mode"])
    mode = asked if state.mode is None else max(state.mode, asked, key=MODES.index)
    return replace(state, wish="cancel", mode=mode, cancelled_at=state.cancelled_at or record.at)


def _outcome(state: LogState, record: LogRecord) -> LogState:
    data = record.data
    if data["lineage"] in state.outcomes:
        return state
    outcome = Outcome(data["lineage"], data["status"], data.get("reason"), data.get("error"), record.at)
    return replace(state, outcomes={**state.outcomes, outcome.lineage: outcome})


def _retry(state: LogState, record: LogRecord) -> LogState:
    again = set(record.data["lineages"])
    return replace(state, outcomes={name: end for name, end in state.outcomes.items() if name not in again})


def _rung(state: LogState, record: LogRecord) -> LogState:
    return replace(state, rungs=(*state.rungs, record.data))


def _suggestion(state: LogState, record: LogRecord) -> LogState:
    return replace(state, suggestions=(*state.suggestions, record.data))


def _settings(state: LogState, record: LogRecord) -> LogState:
    return replace(state, settings={**state.settings, **record.data})


def _terminal(state: LogState, record: LogRecord) -> LogState:
    data = record.data
    if (data["status"] == "cancelled") != (state.wish == "cancel"):
        return state
    return replace(state, terminal=Terminal(data["status"], data.get("reason"), data.get("results"), record.at))


_HANDLERS: dict[str, Callable[[LogState, LogRecord], LogState]] = {
    "take-over": _take_over,
    "cancel": _cancel,
    "outcome": _outcome,
    "retry": _retry,
    "rung": _rung,
    "suggestion": _suggestion,
    "settings": _settings,
    "terminal": _terminal,
}
