"""The learning rate of every step: a base rate that drops, falls or stays, rising linearly while it warms up."""

from __future__ import annotations

import math
from bisect import bisect_right

from lth_core.parts import Train


def learning_rate(train: Train, step: int) -> float:
    """Return the learning rate of update number `step`, counted from 0 and absolute in a rewound level.

    Before warm-up it is, by `schedule`:

    - `step`: lr * gamma ** (number of milestones already reached);
    - `cosine`: lr * (1 + cos(pi * step / steps)) / 2, half a cosine from lr towards 0 over the whole training;
    - `constant`: lr.

    Warm-up multiplies it by min(1, (step + 1) / warmup_steps); the schedule does not wait for it.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, section 4 (milestones and linear warm-up);
        Loshchilov & Hutter 2017, arXiv:1608.03983, equation 5 with one period and a minimum of 0 (cosine).
    """
    rate = train.lr * _factor(train, step)
    if step < train.warmup_steps:
        rate *= (step + 1) / train.warmup_steps
    return rate


def _factor(train: Train, step: int) -> float:
    if train.schedule == "cosine":
        return (1 + math.cos(math.pi * step / train.steps)) / 2
    if train.schedule == "constant":
        return 1.0
    return float(train.gamma ** bisect_right(train.milestones, step))
