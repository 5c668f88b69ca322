"""Lineages enter and leave Tune here: a searcher that suggests only what can run, and a scheduler that ends trials."""

from __future__ import annotations

from typing import Any, Protocol

from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from workers.trial_processes import keep_processes


class Coordinator(Protocol):
    """Who decides what runs; called from Tune's thread."""

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Configuration of a trial to start now, None while there is none."""

    def is_over(self) -> bool:
        """Whether no trial will be started any more."""

    def level_done(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Hear of a level; tell whether the trial goes on."""

    def trial_done(self, trial_id: str, result: dict[str, Any] | None, *, crashed: bool) -> None:
        """Hear of the end of a trial."""


class _Unpickled:
    """Tune pickles and copies what it is given; the pickle is never read, and there is but one coordinator."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class RunnableLineages(_Unpickled, Searcher):
    """Suggests a lineage whenever one can run; nothing ever waits inside a slot."""

    def __init__(self, coordinator: Coordinator) -> None:
        super().__init__()
        self._coordinator = coordinator

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of a runnable lineage, None while there is none, or `FINISHED`."""
        if self._coordinator.is_over():
            return str(Searcher.FINISHED)
        return self._coordinator.suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Hear of the end of a trial."""
        self._coordinator.trial_done(trial_id, result, crashed=error)

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the record is the truth, and Tune's own state is never restored."""

    def restore(self, checkpoint_path: str) -> None:
        """Never used."""
        raise NotImplementedError(f"a search is never restored from Tune's state, asked for {checkpoint_path}")


class LevelByLevel(_Unpickled, FIFOScheduler):
    """Ends a trial when its lineage cannot go on at once; the rule over settings stands behind the coordinator.

    Args:
        coordinator: Who decides what runs.
        num_processes: Trials at once, each in a process that the next trial takes over.
    """

    def __init__(self, coordinator: Coordinator, num_processes: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._coordinator = coordinator
        self._num_processes = num_processes
        self._keeps_processes = False

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """See to the processes of the run when its first trial comes."""
        super().on_trial_add(tune_controller, trial)
        if not self._keeps_processes:
            keep_processes(tune_controller, trial, self._num_processes)
            self._keeps_processes = True

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        """Decide whether a trial trains its next level."""
        goes_on = self._coordinator.level_done(trial.trial_id, result)
        return str(self.CONTINUE if goes_on else self.STOP)
