"""The board of a search: every lineage's state, which may run now, and what a committed level or a failure leads to.

Pure bookkeeping without clock, network or Ray; the driver tells it what happened and carries out what it returns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import Any, Literal

from lth_core.expansion import PlannedLineage
from lth_core.inputs import inputs_of
from workers.engines.orders import Failure
from workers.retries import Again, RetryBook
from workers.schedulers import Rung, Trials

State = Literal["blocked", "pending", "running", "retrying", "succeeded", "stopped", "failed", "skipped", "cancelled"]
ENDED: frozenset[State] = frozenset({"succeeded", "stopped", "failed", "skipped", "cancelled"})
Mode = Literal["open", "drain", "closed"]
RECORDED: frozenset[State] = frozenset({"stopped", "failed", "skipped", "cancelled"})
"""Ends that need a record in the log; success follows from the manifests."""


@dataclass(frozen=True)
class LevelNote:
    """What the board remembers of a committed level."""

    collapsed: bool
    val_accuracy: float


@dataclass(frozen=True)
class End:
    """How a lineage ended otherwise than by success."""

    lineage: str
    status: State
    reason: str | None
    error: dict[str, Any] | None = None

    def to_data(self) -> dict[str, Any]:
        """As the search's log keeps it."""
        return {"lineage": self.lineage, "status": self.status, "reason": self.reason, "error": self.error}


@dataclass
class Chain:
    """One lineage on the board."""

    plan: PlannedLineage
    id: str
    state: State = "pending"
    reason: str | None = None
    attempt: int = 0
    retries: RetryBook = field(default_factory=RetryBook)
    not_before_s: float = 0.0
    error: dict[str, Any] | None = None

    @property
    def is_control(self) -> bool:
        """Whether it takes its masks from another lineage."""
        return self.plan.source_key is not None

    @property
    def last_level(self) -> int:
        """Number of its last level."""
        return self.plan.first_level + self.plan.num_levels - 1


class Board:
    """All lineages of one search.

    Args:
        lineages: In the order of the expansion.
        ids: Lineage ids by key.
        trials: The settings and what was decided on them.

    Attributes:
        mode: `drain` lets no lineage start, `closed` no level.
    """

    def __init__(self, lineages: Sequence[PlannedLineage], ids: Mapping[str, str], trials: Trials) -> None:
        self.chains = {ids[plan.key]: Chain(plan, ids[plan.key]) for plan in lineages}
        self._by_key = {chain.plan.key: chain for chain in self.chains.values()}
        self._levels: dict[tuple[str, int], LevelNote] = {}
        self._trials = trials
        self.mode: Mode = "open"

    def adopt(self, key: str, level: int, note: LevelNote) -> None:
        """Remember a level that was committed before, or for another lineage."""
        self._levels[key, level] = note

    def recall(self, ends: Iterable[End]) -> None:
        """Take over the ends that the log records."""
        for end in ends:
            chain = self.chains.get(end.lineage)
            if chain is not None:
                self._end(chain, end.status, end.reason, end.error)

    @property
    def is_finished(self) -> bool:
        """Whether no lineage will run again."""
        return all(chain.state in ENDED for chain in self.chains.values())

    @property
    def num_running(self) -> int:
        """Lineages that trials work on now."""
        return sum(chain.state == "running" for chain in self.chains.values())

    def work_left(self) -> tuple[int, int]:
        """Levels that are not committed, of lineages that have not ended, and the training steps in them."""
        going = [chain for chain in self.chains.values() if chain.state not in ENDED]
        levels = [chain.last_level + 1 - self.next_level(chain) for chain in going]
        steps = [chain.plan.spec.train.steps for chain in going]
        return sum(levels), sum(map(mul, levels, steps))

    def counts(self) -> Counter[str]:
        """Lineages by state."""
        return Counter(chain.state for chain in self.chains.values())

    def next_level(self, chain: Chain) -> int:
        """The first level of a lineage that is not committed."""
        level = chain.plan.first_level
        while level <= chain.last_level and (chain.plan.key_of_level(level), level) in self._levels:
            level += 1
        return level

    def refresh(self) -> list[End]:
        """Bring all states in line with what is committed and decided; return the ends that are to be recorded."""
        ends: list[End] = []
        for chain in self.chains.values():
            if chain.state in ENDED:
                continue
            end = self._end_of(chain)
            if end is not None:
                self._end(chain, *end)
                if end[0] in RECORDED:
                    ends.append(End(chain.id, end[0], end[1], end[2]))
            elif chain.state in ("pending", "blocked"):
                chain.state = "pending" if self._has_inputs(chain) else "blocked"
        return ends

    def due_rungs(self) -> list[Rung]:
        """Decide on the settings that have reached a rung; the caller logs the decisions, then calls `refresh`."""
        rungs = []
        for setting in sorted({chain.plan.setting_index for chain in self.chains.values()}):
            while (rung := self._trials.due(setting, self._rung_values(setting))) is not None:
                rungs.append(rung)
        return rungs

    def start_next(self, now_s: float) -> Chain | None:
        """Choose the lineage to run next and note that it runs; chains that others wait for go first."""
        candidates = [chain for chain in self.chains.values() if self._may_start(chain, now_s)]
        if self.mode != "open" or not candidates:
            return None
        if self._trials.rungs:
            chosen = min(candidates, key=lambda chain: (chain.is_control, self.next_level(chain)))
        else:
            chosen = min(candidates, key=lambda chain: chain.is_control)
        chosen.state, chosen.reason = "running", None
        chosen.attempt += 1
        return chosen

    def may_go_on(self, lineage: str) -> bool:
        """Tell whether a running lineage can train its next level at once."""
        chain = self.chains[lineage]
        return self.mode != "closed" and chain.state == "running" and self._has_inputs(chain)

    def committed(self, lineage: str, level: int, note: LevelNote) -> None:
        """Note that a running lineage has committed a level."""
        chain = self.chains[lineage]
        self._levels[chain.plan.key_of_level(level), level] = note
        chain.retries.progress()
        chain.error = None

    def paused(self, lineage: str) -> None:
        """Note that a lineage's trial ended although the lineage has not."""
        chain = self.chains[lineage]
        if chain.state == "running":
            chain.state = "blocked"

    def failed(self, lineage: str, failure: Failure, now_s: float) -> End | None:
        """Note a failure; return the end of the lineage if it has no other try."""
        chain = self.chains[lineage]
        if chain.state in ENDED:
            return None
        if failure.error_class == "cancelled":
            chain.state = "blocked"
            return None
        level = self.next_level(chain)
        chain.error = {"class": failure.error_class, "message": failure.message, "level": level, "step": failure.step}
        decision = chain.retries.decide(level, failure)
        if isinstance(decision, Again):
            chain.state, chain.reason = "retrying", failure.error_class
            chain.not_before_s = now_s + decision.after_s
            return None
        chain.error = {**chain.error, "class": decision.error_class}
        self._end(chain, "failed", decision.error_class, chain.error)
        return End(chain.id, "failed", decision.error_class, chain.error)

    def end_all(self, status: State, reason: str) -> list[End]:
        """End what has not ended; lineages that never ran are skipped, unless they are cancelled."""
        ends = []
        for chain in self.chains.values():
            if chain.state in ENDED:
                continue
            own: State = status if status == "cancelled" or self._has_run(chain) else "skipped"
            self._end(chain, own, reason, None)
            ends.append(End(chain.id, own, reason))
        return ends

    def _end_of(self, chain: Chain) -> tuple[State, str | None, dict[str, Any] | None] | None:
        level = self.next_level(chain)
        last = self._levels.get((chain.plan.key_of_level(level - 1), level - 1)) if self._has_run(chain) else None
        if last is not None and last.collapsed:
            return "stopped", "collapsed", None
        if level > chain.last_level:
            return "succeeded", None, None
        if chain.state == "running":
            return None
        if chain.plan.setting_index in self._trials.stopped:
            return ("stopped" if self._has_run(chain) else "skipped"), "scheduler", None
        return self._upstream_end(chain, level)

    def _upstream_end(self, chain: Chain, level: int) -> tuple[State, str | None, dict[str, Any] | None] | None:
        """The end of a control whose next mask will never come."""
        if not chain.is_control or self._has_inputs(chain):
            return None
        source = self._by_key[str(chain.plan.source_key)]
        if source.state not in ENDED:
            return None
        message = f"the lineage whose masks it takes, {source.id}, ended before level {level}: {source.state}"
        error = {"class": "upstream", "message": message, "level": level, "step": None}
        if source.state != "failed":
            return ("stopped" if self._has_run(chain) else "skipped"), source.reason, None
        return ("failed" if self._has_run(chain) else "skipped"), "upstream", error

    def _end(self, chain: Chain, status: State, reason: str | None, error: Mapping[str, Any] | None) -> None:
        chain.state, chain.reason = status, reason
        chain.error = dict(error) if error else None

    def _has_run(self, chain: Chain) -> bool:
        return self.next_level(chain) > chain.plan.first_level

    def _may_start(self, chain: Chain, now_s: float) -> bool:
        waits = chain.state == "retrying" and now_s < chain.not_before_s
        return chain.state in ("pending", "retrying") and not waits and self._has_inputs(chain)

    def _has_inputs(self, chain: Chain) -> bool:
        """Tell whether the next level can be trained now."""
        level = self.next_level(chain)
        if level > chain.last_level or chain.plan.setting_index in self._trials.stopped:
            return False
        if chain.is_control:
            places = inputs_of(chain.plan, level).values()
            return all((place.key, place.level) in self._levels for place in places)
        if level == 0:
            return not any(
                other is not chain
                and other.state == "running"
                and other.plan.dense_key == chain.plan.dense_key
                and self.next_level(other) == 0
                for other in self.chains.values()
            )
        return self._trials.may_run(chain.plan.setting_index, level)

    def _rung_values(self, setting: int) -> dict[int, list[float] | None]:
        sources = [
            chain for chain in self.chains.values() if chain.plan.setting_index == setting and not chain.is_control
        ]
        return {rung: self._values_at(sources, rung) for rung in self._trials.rungs}

    def _values_at(self, sources: Sequence[Chain], rung: int) -> list[float] | None:
        values = []
        for chain in sources:
            note = self._levels.get((chain.plan.key, rung))
            if note is not None:
                values.append(note.val_accuracy)
            elif chain.state not in ENDED:
                return None
        return values
