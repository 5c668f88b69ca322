"""Processes of trials outlive their trials, also where trials are shorter than the start of a process.

With `reuse_actors` alone Tune keeps one process between two trials, and hands it to a trial whose own process is just
starting, which is killed for it. With lineages of seconds such a process never comes up, and a node that has joined is
never used.
"""

from __future__ import annotations

from typing import Any


def keep_processes(tune_controller: Any, trial: Any, num: int) -> None:
    """Let so many processes wait for their next trial, and let a process that starts come up.

    Tune has no public setting for either; where its inside looks otherwise, trials go on as it likes them.

    Args:
        tune_controller: As schedulers are given it.
        trial: Any trial of the run, all are of one kind.
        num: Trials at once.
    """
    controller = getattr(tune_controller, "_tune_controller", tune_controller)
    cache = getattr(controller, "_actor_cache", None)
    process_of = getattr(controller, "_trial_to_actor", None)
    reuse = getattr(controller, "_maybe_reuse_cached_actor", None)
    if cache is None or process_of is None or reuse is None:
        return
    cache.increase_max(trial.placement_group_factory, by=num)
    controller._maybe_reuse_cached_actor = lambda waiting: waiting not in process_of and reuse(waiting)
