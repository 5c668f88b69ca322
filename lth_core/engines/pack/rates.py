"""The numbers that an update is scaled by, step by step: computed on the host in double, rounded to float32 once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lth_core.engines.base import Plan
from lth_core.engines.pack.shape import optimizer_kind
from lth_core.optimizers import ADAM_BETAS
from lth_core.parts import Train
from lth_core.schedules import learning_rate

NUM_COLUMNS = 3
Table = npt.NDArray[np.float64]


class Rates:
    """What scales the updates of one training.

    Args:
        plan: The training.
    """

    def __init__(self, plan: Plan) -> None:
        train = plan.lineage.train
        if plan.rate is None:
            self._rates = _schedule(train)
        else:
            self._rates = np.array([plan.learning_rate(step) for step in range(train.steps)], dtype=np.float64)
        self._is_adam = optimizer_kind(train) == "adam"
        self._decoupled = train.weight_decay if train.weight_decay_mode == "decoupled" else 0.0
        self._num_steps = train.steps

    def columns(self, first: int, num_steps: int, count: int) -> npt.NDArray[np.float32]:
        """Return what scales the updates after `first` ones, float32 [num_steps, 3].

        The columns are the rate (for Adam divided by the correction of the mean), the square root of Adam's correction
        of the square (else 1), and what decoupled decay leaves of a weight.

        Args:
            first: Updates done.
            num_steps: Updates wanted.
            count: Updates that the optimizer remembers.
        """
        rates = self._rates[first : first + num_steps]
        out = np.ones((num_steps, NUM_COLUMNS), dtype=np.float64)
        out[:, 0] = rates
        if self._is_adam:
            corrections = _corrections(1 << (count + num_steps).bit_length())[count : count + num_steps]
            out[:, 0] /= corrections[:, 0]
            out[:, 1] = np.sqrt(corrections[:, 1])
        if self._decoupled:
            out[:, 2] = 1 - rates * self._decoupled
        return out.astype(np.float32)


@lru_cache(maxsize=64)
def _schedule(train: Train) -> Table:
    return np.array([learning_rate(train, step) for step in range(train.steps)], dtype=np.float64)


@lru_cache(maxsize=32)
def _corrections(num: int) -> Table:
    """Return 1 - beta ** count for both betas and the counts 1..num; one by one, so that no length enters a value."""
    mean, square = ADAM_BETAS
    return np.array([(1 - mean**count, 1 - square**count) for count in range(1, num + 1)], dtype=np.float64)
