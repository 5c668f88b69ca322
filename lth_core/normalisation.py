"""Normalisation of images: exact statistics of the stored bytes, and the floats that training sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lth_core.names import NormalisationKind

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Normalisation:
    """How stored bytes become the floats that training sees: (byte - mean) / std per channel, times the image's scale.

    Each of the 256 values is computed in float64 and rounded once; the scale is 1 but for `unit_norm`, and the product
    with it is rounded once more. The result depends on no order and on no machine.

    Attributes:
        kind: What was asked for.
        mean: What is subtracted, one number per channel, in units of the stored bytes.
        std: What the difference is divided by.
    """

    kind: NormalisationKind
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, kind: NormalisationKind, train_images: Bytes) -> Normalisation:
        """Return the normalisation of a data set.

        Args:
            kind: Which.
            train_images: Its training images, [N, C, H, W]: `standard` takes its statistics from them.
        """
        if kind == "standard":
            mean, std = channel_statistics(train_images)
            return cls(kind, tuple(mean), tuple(std))
        channels = train_images.shape[1]
        return cls(kind, (0.0,) * channels, (255.0 if kind == "unit_range" else 1.0,) * channels)

    @cached_property
    def table(self) -> Floats:
        """What each byte of each channel becomes before the image's scale, [C, 256], ascending.

        A channel that never changes is divided by 1.
        """
        every = np.arange(256)
        rows = [(every - mean) / (std or 1.0) for mean, std in zip(self.mean, self.std, strict=True)]
        return np.stack(rows).astype(np.float32)

    def scales(self, images: Bytes) -> Floats:
        """Return the factor of each image, [N]: 1 over its norm for `unit_norm`, else 1; a black image keeps 1."""
        if self.kind != "unit_norm":
            return np.ones(len(images), dtype=np.float32)
        squares = np.square(np.arange(256, dtype=np.int64))
        sums = np.fromiter((int(squares[image].sum()) for image in images), np.float64, len(images))
        return (1.0 / np.sqrt(np.where(sums == 0, 1.0, sums))).astype(np.float32)

    def apply(self, images: Bytes) -> Floats:
        """Return normalised copies of images, [N, C, H, W]."""
        out = np.empty(images.shape, dtype=np.float32)
        for channel, values in enumerate(self.table):
            out[:, channel] = values[images[:, channel]]
        if self.kind == "unit_norm":
            out *= self.scales(images)[:, None, None, None]
        return out

    @property
    def fill(self) -> tuple[float, ...]:
        """What the byte 0 becomes in each channel, exact in float32: that is what images are padded with."""
        return tuple(self.table[:, 0].tolist())

    def document(self) -> dict[str, Any]:
        """Return it as manifests state it; `standard` is the default and not named."""
        stated = {"mean": list(self.mean), "std": list(self.std)}
        return stated if self.kind == "standard" else {"kind": self.kind, **stated}


def channel_statistics(images: Bytes) -> tuple[list[float], list[float]]:
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
