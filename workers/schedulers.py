"""Which settings may go on: Ray Tune's schedulers, asked once per setting and rung about its `winning_ticket` chains.

The rule sees a setting's mean validation accuracy when all its chains have reached a rung; a stopped setting takes its
replicates and controls along. Decisions are logged, and a new driver replays them before it decides anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lth_core.parts import Scheduler

Decision = Literal["continue", "stop"]


@dataclass(frozen=True)
class Rung:
    """One decision on one setting.

    Attributes:
        setting: Index of the setting.
        level: The rung.
        value: Its mean validation accuracy there.
        decision: Whether it goes on.
    """

    setting: int
    level: int
    value: float
    decision: Decision

    def to_data(self) -> dict[str, Any]:
        """As the search's log keeps it."""
        return {"setting": self.setting, "level": self.level, "value": self.value, "decision": self.decision}


class Judge(Protocol):
    """Decides which settings go on."""

    @property
    def rungs(self) -> tuple[int, ...]:
        """Levels after which a setting waits for a decision."""

    def decide(self, setting: int, level: int, value: float) -> Decision:
        """Decide on a setting that has reached a rung."""


class Fifo:
    """Every setting runs to its end."""

    rungs: tuple[int, ...] = ()

    def decide(self, setting: int, level: int, value: float) -> Decision:  # noqa: ARG002 - the protocol's signature
        """Let it go on."""
        return "continue"


@dataclass(frozen=True)
class _SettingAsTrial:
    """What Tune's scheduler needs of a trial: a name."""

    trial_id: str


class Asha:
    """Asynchronous successive halving by Tune's `AsyncHyperBandScheduler`, one trial per setting.

    References:
        Li et al. 2020, "A system for massively parallel hyperparameter tuning", arXiv:1810.05934.
    """

    def __init__(self, scheduler: Scheduler, num_levels: int) -> None:
        from ray.tune.schedulers import AsyncHyperBandScheduler

        grace, factor = scheduler.grace_levels, scheduler.reduction_factor
        rungs = []
        level = grace
        while level < num_levels:
            rungs.append(level)
            level *= factor
        self.rungs = tuple(rungs)
        self._known: set[int] = set()
        self._tune = AsyncHyperBandScheduler(
            time_attr="level",
            metric="val_accuracy",
            mode="max",
            max_t=max(num_levels, grace),
            grace_period=grace,
            reduction_factor=factor,
            stop_last_trials=False,
        )

    def decide(self, setting: int, level: int, value: float) -> Decision:
        """Let Tune's rule decide on a setting that has reached a rung."""
        trial: Any = _SettingAsTrial(f"setting-{setting}")
        nobody: Any = None
        if setting not in self._known:
            self._known.add(setting)
            self._tune.on_trial_add(nobody, trial)
        action = self._tune.on_trial_result(nobody, trial, {"level": level, "val_accuracy": value})
        return "stop" if action == self._tune.STOP else "continue"


def judge_of(scheduler: Scheduler, num_levels: int) -> Judge:
    """Return the judge that a specification asks for.

    Args:
        scheduler: From the specification.
        num_levels: Pruned levels of its longest chain.
    """
    return Asha(scheduler, num_levels) if scheduler.name == "asha" else Fifo()


class Trials:
    """Settings on trial: what was decided, and what is to be decided next."""

    def __init__(self, judge: Judge, logged: Iterable[Mapping[str, Any]] = ()) -> None:
        self._judge = judge
        self._decided: dict[tuple[int, int], Decision] = {}
        for data in logged:
            judge.decide(data["setting"], data["level"], data["value"])
            self._decided[data["setting"], data["level"]] = data["decision"]

    @property
    def stopped(self) -> set[int]:
        """Settings that do not go on."""
        return {setting for (setting, _), decision in self._decided.items() if decision == "stop"}

    def may_run(self, setting: int, level: int) -> bool:
        """Tell whether a chain of the setting may start a level: every rung before it has been decided."""
        return all((setting, rung) in self._decided for rung in self._judge.rungs if rung < level)

    def due(self, setting: int, values: Mapping[int, Iterable[float] | None]) -> Rung | None:
        """Decide on the lowest undecided rung whose values are complete.

        Args:
            setting: Index of the setting.
            values: Validation accuracies of its chains by rung; None while a chain is still on its way there.

        Returns:
            The new decision, which the caller logs before it acts on it; None if none is due.
        """
        for rung in self._judge.rungs:
            if (setting, rung) in self._decided:
                continue
            reached = values.get(rung)
            accuracies = list(reached) if reached is not None else []
            if not accuracies:
                return None
            value = sum(accuracies) / len(accuracies)
            decision = self._judge.decide(setting, rung, value)
            self._decided[setting, rung] = decision
            return Rung(setting, rung, value, decision)
        return None

    @property
    def rungs(self) -> tuple[int, ...]:
        """Levels after which settings wait."""
        return self._judge.rungs
