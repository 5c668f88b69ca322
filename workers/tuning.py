"""One fresh Tune run over what is missing of a search; its own state is private, local and thrown away."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import Any

from workers.searcher import Coordinator, LevelByLevel, RunnableLineages
from workers.trial import LineageTrial

TRIAL_CPUS = 0.001
"""Ray refuses an empty bundle; engines hold the CPUs."""
ENDLESS = 10**9
"""Number of samples: the searcher says when it is over."""


def run(coordinator: Coordinator, folder: Path, max_concurrent_trials: int) -> None:
    """Run trials until the coordinator says that it is over.

    Args:
        coordinator: Who decides what runs.
        folder: Private place for Tune's files.
        max_concurrent_trials: Trials at once; each is a process of about 100 MB.
    """
    from ray import tune

    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    tuner = tune.Tuner(
        tune.with_resources(LineageTrial, {"cpu": TRIAL_CPUS}),
        tune_config=tune.TuneConfig(
            search_alg=RunnableLineages(coordinator),
            scheduler=LevelByLevel(coordinator, max_concurrent_trials),
            num_samples=ENDLESS,
            max_concurrent_trials=max_concurrent_trials,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=f"run-{secrets.token_hex(6)}",
            storage_path=str(folder),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    tuner.fit()


def _name(trial: Any) -> str:
    return str(trial.trial_id)
