"""A data set resident on the device: bytes as they were stored, and the 256 floats that each channel's bytes mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lth_core.data import TensorData
from lth_core.normalisation import normalise


@dataclass(frozen=True)
class ResidentData:
    """The examples of a data set as bytes; `table[channel, byte]` is the very float that training sees elsewhere.

    Attributes:
        train_images: uint8 [num_train, features], channels first.
        train_labels: int32 [num_train].
        test_images: uint8 [num_test, features].
        test_labels: int32 [num_test].
        table: float32 [channels, 256].
        pixels: Features of one channel.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    table: Tensor
    pixels: int

    @classmethod
    def of(cls, data: TensorData) -> ResidentData:
        """Take the bytes back out of normalised images.

        Raises:
            ValueError: If an image has a value that no byte stands for.
        """
        channels = data.train_images.shape[1]
        table = value_table(data.normalisation).to(data.device)
        return cls(
            train_images=_bytes_of(data.train_images, table),
            train_labels=data.train_labels.to(torch.int32),
            test_images=_bytes_of(data.test_images, table),
            test_labels=data.test_labels.to(torch.int32),
            table=table,
            pixels=data.train_images[0].numel() // channels,
        )


def value_table(normalisation: dict[str, list[float]]) -> Tensor:
    """Return what each byte of each channel becomes, float32 [channels, 256], ascending: rounded once, in numpy."""
    mean = normalisation["mean"]
    every = np.broadcast_to(np.arange(256, dtype=np.uint8), (1, len(mean), 1, 256))
    return torch.from_numpy(normalise(np.ascontiguousarray(every), mean, normalisation["std"])[0, :, 0])


def _bytes_of(images: Tensor, table: Tensor) -> Tensor:
    out = torch.empty(images.shape, dtype=torch.uint8, device=images.device)
    for channel, values in enumerate(table):
        seen = images[:, channel].contiguous()
        found = torch.searchsorted(values, seen).clamp_(max=255)
        if not torch.equal(values[found], seen):
            raise ValueError(f"channel {channel} of the images must hold normalised bytes")
        out[:, channel] = found.to(torch.uint8)
    return out.flatten(1)
