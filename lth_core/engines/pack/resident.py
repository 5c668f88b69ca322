"""A data set resident on the device: bytes as they were stored, and the 256 floats that each channel's bytes mean."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lth_core.data import TensorData


@dataclass(frozen=True)
class ResidentData:
    """The examples of a data set as bytes; `table[channel, byte] * scale` is the very float that others train on.

    Attributes:
        train_images: uint8 [num_train, features], channels first.
        train_labels: int32 [num_train].
        train_scales: float32 [num_train].
        test_images: uint8 [num_test, features].
        test_labels: int32 [num_test].
        test_scales: float32 [num_test].
        table: float32 [channels, 256].
        pixels: Features of one channel.
    """

    train_images: Tensor
    train_labels: Tensor
    train_scales: Tensor
    test_images: Tensor
    test_labels: Tensor
    test_scales: Tensor
    table: Tensor
    pixels: int

    @classmethod
    def of(cls, data: TensorData) -> ResidentData:
        """Take the bytes back out of normalised images.

        Raises:
            ValueError: If an image has a value that no byte stands for.
        """
        channels = data.train_images.shape[1]
        table = torch.from_numpy(data.normalisation.table).to(data.device)
        return cls(
            train_images=_bytes_of(data.train_images, data.train_scales, table),
            train_labels=data.train_labels.to(torch.int32),
            train_scales=data.train_scales,
            test_images=_bytes_of(data.test_images, data.test_scales, table),
            test_labels=data.test_labels.to(torch.int32),
            test_scales=data.test_scales,
            table=table,
            pixels=data.train_images[0].numel() // channels,
        )


def _bytes_of(images: Tensor, scales: Tensor, table: Tensor) -> Tensor:
    out = torch.empty(images.shape, dtype=torch.uint8, device=images.device)
    of_image = scales[:, None, None]
    for channel, values in enumerate(table):
        seen = images[:, channel].contiguous()
        between = (values[1:] + values[:-1]) / 2
        found = torch.searchsorted(between, seen / of_image)
        if not torch.equal(values[found] * of_image, seen):
            raise ValueError(f"channel {channel} of the images must hold normalised bytes")
        out[:, channel] = found.to(torch.uint8)
    return out.flatten(1)
