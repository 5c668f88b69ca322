"""The learning rate of every step: constant, dropping at milestones, rising linearly while it warms up."""

from __future__ import annotations

from bisect import bisect_right

from lth_core.parts import Train


def learning_rate(train: Train, step: int) -> float:
    """Return the learning rate of update number `step`, counted from 0 and absolute in a rewound level.

    Warm-up multiplies it by min(1, (step + 1) / warmup_steps); each milestone already reached multiplies it by
    `gamma`.
    """
    rate = train.lr * float(train.gamma ** bisect_right(train.milestones, step))
    if step < train.warmup_steps:
        rate *= (step + 1) / train.warmup_steps
    return rate
