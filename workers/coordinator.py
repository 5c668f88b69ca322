"""Between Tune's thread and the driver's loop: the board under a lock, and the deeds that follow from it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from workers.board import Board, Chain, End, LevelNote, Mode, State
from workers.engines.orders import Failure
from workers.fair_queue import Priority
from workers.ramp import Ramp
from workers.schedulers import Rung
from workers.trial_task import TrialTask


@dataclass(frozen=True)
class Deed:
    """Something that the driver is to record or tell, in order.

    Attributes:
        kind: `end` is recorded in the log, `committed` names a new manifest; the others are events of a lineage.
        lineage: Lineage id.
        data: What belongs to it.
    """

    kind: Literal["end", "committed", "started", "blocked", "retrying", "succeeded"]
    lineage: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """One lineage at one moment, for those who watch."""

    state: State
    reason: str | None
    attempt: int
    error: dict[str, Any] | None
    next_level: int


class SearchCoordinator:
    """Answers Tune from the board; everything that must be recorded goes through `do` or `record_rung`.

    Args:
        board: The search's lineages.
        tenant: Whose search.
        search: The search.
        epoch: The leader's epoch.
        priority: Of the search.
        do: Called with each deed, must not block.
        record_rung: Called with each decision of the scheduler, returns when it is in the log.
        on_over: Called when no lineage will run any more, perhaps repeatedly; must not block.
    """

    def __init__(
        self,
        board: Board,
        *,
        tenant: str,
        search: str,
        epoch: int,
        priority: Priority,
        do: Callable[[Deed], None],
        record_rung: Callable[[Rung], None],
        on_over: Callable[[], object],
    ) -> None:
        self.board = board
        self.lock = threading.RLock()
        self._names = (tenant, search, epoch)
        self._priority = priority
        self._do = do
        self._record_rung = record_rung
        self._on_over = on_over
        self._lineage_of: dict[str, str] = {}
        self._num_slots = 1
        self._has_trained = False
        self._ramp = Ramp()
        self._over = False

    def expect_slots(self, num_slots: int) -> None:
        """Note how many levels the cluster can train at once; one lineage more keeps them busy while levels commit.

        The one more starts when the first level is there, so that its process does not hold up the others'.
        """
        with self.lock:
            self._num_slots = num_slots

    def heard_of_trials(self) -> None:
        """Note that trials wait for engines or train."""
        with self.lock:
            self._ramp.heard(time.monotonic())

    def set_mode(self, mode: Mode) -> None:
        """Let less start from now on."""
        with self.lock:
            self.board.mode = mode

    def end_all(self, status: State, reason: str) -> None:
        """End what has not ended."""
        with self.lock:
            self._note_ends(self.board.end_all(status, reason))
            self._end()

    def pictures(self) -> dict[str, Picture]:
        """What there is to show of every lineage now."""
        with self.lock:
            return {
                chain.id: Picture(chain.state, chain.reason, chain.attempt, chain.error, self.board.next_level(chain))
                for chain in self.board.chains.values()
            }

    def settle(self) -> None:
        """Follow up what has changed: decide rungs, end lineages, and see whether the search is over."""
        with self.lock:
            self._note_ends(self.board.refresh())
            for rung in self.board.due_rungs():
                self._record_rung(rung)
            self._note_ends(self.board.refresh())
            if self.board.is_finished:
                self._end()

    def is_over(self) -> bool:
        """Whether no trial will be started any more."""
        return self._over

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Configuration of a trial for the next runnable lineage."""
        with self.lock:
            now_s, num_running = time.monotonic(), self.board.num_running
            if num_running >= self._num_slots + self._has_trained:
                return None
            if not self._ramp.is_worth_one_more(num_running, *self.board.work_left(), now_s):
                return None
            chain = self.board.start_next(now_s)
            if chain is None:
                return None
            self._ramp.began(num_running + 1, now_s)
            self._lineage_of[trial_id] = chain.id
            self._do(Deed("started", chain.id, {"attempt": chain.attempt, "level": self.board.next_level(chain)}))
            return self._task(chain).to_config()

    def level_done(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Note a committed level; tell whether the trial goes on."""
        lineage = self._lineage_of[trial_id]
        with self.lock:
            note = LevelNote(bool(result["collapsed"]), float(result["val_accuracy"]))
            level = int(result["level"])
            self._has_trained = True
            self._ramp.done(time.monotonic())
            self.board.committed(lineage, level, note)
            key = self.board.chains[lineage].plan.key_of_level(level)
            self._do(Deed("committed", lineage, {"key": key, "level": level, "busy_s": result["busy_s"]}))
            self.settle()
            return self.board.may_go_on(lineage)

    def trial_done(self, trial_id: str, result: dict[str, Any] | None, *, crashed: bool) -> None:
        """Note the end of a trial: its lineage pauses, has ended, or has failed."""
        lineage = self._lineage_of.pop(trial_id, None)
        if lineage is None:
            return
        failure = _failure(result, crashed=crashed)
        with self.lock:
            if failure is None:
                self.board.paused(lineage)
            else:
                self._note_failure(lineage, failure)
            self.settle()
            chain = self.board.chains[lineage]
            if chain.state == "blocked":
                self._do(Deed("blocked", lineage, {"level": self.board.next_level(chain)}))
            elif chain.state == "succeeded":
                self._do(Deed("succeeded", lineage, {}))

    def _end(self) -> None:
        self._over = True
        self._on_over()

    def _note_failure(self, lineage: str, failure: Failure) -> None:
        end = self.board.failed(lineage, failure, time.monotonic())
        chain = self.board.chains[lineage]
        if end is not None:
            self._note_ends([end])
        elif chain.state == "retrying":
            self._do(Deed("retrying", lineage, {"attempt": chain.attempt, "error": chain.error}))

    def _note_ends(self, ends: list[End]) -> None:
        for end in ends:
            self._do(Deed("end", end.lineage, end.to_data()))

    def _task(self, chain: Chain) -> TrialTask:
        tenant, search, epoch = self._names
        plan = chain.plan
        return TrialTask(
            tenant=tenant,
            search=search,
            epoch=epoch,
            lineage=chain.id,
            key=plan.key,
            dense_key=plan.dense_key,
            source_key=plan.source_key,
            spec=plan.spec.model_dump_json(),
            attempt=chain.attempt,
            priority=self._priority,
        )


def _failure(result: dict[str, Any] | None, *, crashed: bool) -> Failure | None:
    if result is not None and "failure" in result:
        return Failure(**json.loads(result["failure"]))
    if crashed:
        return Failure("infra", "the trial process died", blamed=False)
    return None
