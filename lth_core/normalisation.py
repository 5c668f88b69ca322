"""Normalisation of images: exact statistics of the stored bytes, and the floats that training sees."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt


def channel_statistics(images: npt.NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Return mean and population standard deviation of each channel in units of the stored bytes.

    The sums are integers and the division is done once, so the result depends on no order and no machine.
    """
    means, stds = [], []
    for channel in range(images.shape[1]):
        counts = np.bincount(images[:, channel].reshape(-1), minlength=256).tolist()
        total = sum(counts)
        first = sum(value * count for value, count in enumerate(counts))
        second = sum(value * value * count for value, count in enumerate(counts))
        means.append(float(Fraction(first, total)))
        stds.append(math.sqrt(Fraction(second * total - first * first, total * total)))
    return means, stds


def normalise(images: npt.NDArray[np.uint8], mean: list[float], std: list[float]) -> npt.NDArray[np.float32]:
    """Return (byte - mean) / std per channel, each of the 256 values computed in float64 and rounded once.

    A channel that never changes is divided by 1.
    """
    out = np.empty(images.shape, dtype=np.float32)
    for channel in range(images.shape[1]):
        table = ((np.arange(256) - mean[channel]) / (std[channel] or 1.0)).astype(np.float32)
        out[:, channel] = table[images[:, channel]]
    return out
