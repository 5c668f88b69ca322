"""Augmentation of training images: pad and crop, and mirror, drawn per (seed, epoch, example) and by nothing else.

What happens to an example in an epoch depends neither on the batch it comes in nor on what was drawn before: resuming
needs no state, and dense network, tickets and controls see the same images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lth_core import random


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images; validation and test images are never touched.

    Word 0 of the Philox counter (example, epoch, 0, 0) gives the crop's top edge and word 1 its left edge, both in
    0..2 * padding by (word * (2 * padding + 1)) >> 32; the image is mirrored if word 2 is at least 2**31.

    Attributes:
        flip: Mirror left and right, with probability one half.
        padding: Pixels added on every side before an image of the old size is cut out; 0 cuts nothing.
        key: 64-bit seed, of purpose "augment".
        fill: What a padded pixel of each channel holds, one number per channel: the byte 0 after normalisation.

    References:
        He et al. 2016, arXiv:1512.03385, section 4.2: 4 pixels padded on each side, a random crop, a horizontal flip.
    """

    flip: bool
    padding: int
    key: int
    fill: tuple[float, ...]

    def draw(self, epoch: int, examples: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return top, left and mirrored (0 or 1) of each example in an epoch, shape [*examples.shape, 3]."""
        drawn = random.philox(self.key, examples.reshape(-1), step=epoch)[:, :3].astype(np.uint64)
        drawn[:, :2] = drawn[:, :2] * np.uint64(2 * self.padding + 1) >> np.uint64(32)
        drawn[:, 2] = drawn[:, 2] >> np.uint64(31) if self.flip else 0
        return drawn.astype(np.int64).reshape(*examples.shape, 3)

    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Return cropped and then mirrored copies of a batch.

        Args:
            images: float32 [N, C, H, W].
            drawn: Top, left and mirrored of each image, int64 [N, 3].
        """
        height, width = images.shape[2:]
        rows = torch.arange(height, device=images.device) + (drawn[:, 0:1] - self.padding)
        columns = torch.arange(width, device=images.device).expand(len(images), width)
        columns = torch.where(drawn[:, 2:3] == 1, width - 1 - columns, columns) + (drawn[:, 1:2] - self.padding)
        pixels = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
        index = pixels.view(len(images), 1, -1).expand(-1, images.shape[1], -1)
        out = images.flatten(2).gather(2, index).view(images.shape)
        if not self.padding:
            return out
        inside = _within(rows, height)[:, :, None] & _within(columns, width)[:, None, :]
        return torch.where(inside[:, None], out, images.new_tensor(self.fill)[:, None, None])


def _within(positions: Tensor, size: int) -> Tensor:
    return (positions >= 0) & (positions < size)
