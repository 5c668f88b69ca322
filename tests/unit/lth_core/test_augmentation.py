"""Augmentation: what a plain loop over images does, whatever batch they come in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lth_core import random
from lth_core.augmentation import Augmentation
from lth_core.data import batches, epoch_batches, split
from tests.support.tiny import tiny_arrays, tiny_data

KEY = random.seed_key(3, "augment")
SHAPE = (3, 6, 5)
FILL = (-1.5, 0.25, 7.0)


def images(num: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((num, *SHAPE)).astype(np.float32)


def by_hand(image: np.ndarray, example: int, epoch: int, *, flip: bool, padding: int) -> np.ndarray:
    """Pad, crop and mirror one image, as the sentence says it."""
    word = [int(value) for value in random.philox(KEY, np.array([example]), step=epoch)[0]]
    channels, height, width = image.shape
    padded = np.empty((channels, height + 2 * padding, width + 2 * padding), dtype=np.float32)
    for channel in range(channels):
        padded[channel] = FILL[channel]
        padded[channel, padding : padding + height, padding : padding + width] = image[channel]
    top, left = (word[i] * (2 * padding + 1) // 2**32 for i in (0, 1))
    cropped = padded[:, top : top + height, left : left + width]
    return cropped[:, :, ::-1] if flip and word[2] >= 2**31 else cropped


def augmented(whole: np.ndarray, examples: np.ndarray, epoch: int, *, flip: bool, padding: int) -> np.ndarray:
    augmentation = Augmentation(flip, padding, KEY, FILL)
    drawn = torch.from_numpy(augmentation.draw(epoch, examples))
    return augmentation.apply(torch.from_numpy(whole[examples]), drawn).numpy()


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 1, 4, 9])
def test_a_batch_is_what_a_loop_over_its_images_makes_of_it(flip, padding):
    whole, examples = images(60), np.random.default_rng(1).permutation(60)[:40]
    for epoch in (0, 3):
        out = augmented(whole, examples, epoch, flip=flip, padding=padding)
        for row, example in zip(out, examples, strict=True):
            assert np.array_equal(row, by_hand(whole[example], int(example), epoch, flip=flip, padding=padding))


def test_an_image_does_not_depend_on_the_batch_it_comes_in():
    whole = images(30)
    together = augmented(whole, np.arange(30), 2, flip=True, padding=2)
    for examples in (np.array([17]), np.array([3, 17, 29]), np.arange(30)[::-1].copy()):
        alone = augmented(whole, examples, 2, flip=True, padding=2)
        assert np.array_equal(alone, together[examples])


def test_offsets_are_uniform_and_half_of_the_images_are_mirrored():
    drawn = Augmentation(True, 2, KEY, FILL).draw(0, np.arange(20_000))
    for edge in (0, 1):
        assert np.bincount(drawn[:, edge], minlength=5) == pytest.approx(np.full(5, 4000), rel=0.06)
    assert drawn[:, 2].mean() == pytest.approx(0.5, abs=0.015)
    assert abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.03


def test_epochs_and_replicates_draw_anew():
    draws = {
        Augmentation(True, 4, random.seed_key(replicate, "augment"), FILL).draw(epoch, np.arange(50)).tobytes()
        for replicate in range(3)
        for epoch in range(3)
    }
    assert len(draws) == 9


def test_padding_holds_what_the_byte_0_becomes():
    data = tiny_data((3, 8, 8))
    zeros = data.normalisation.apply(np.zeros((1, 3, 1, 1), np.uint8))
    assert data.normalisation.fill == tuple(zeros.reshape(-1).tolist())
    assert tiny_arrays(shape=(3, 8, 8))["train_images"].min() == 0
    lowest = data.train_images.amin((0, 2, 3)).tolist()
    assert data.normalisation.fill == pytest.approx(lowest)


def test_training_batches_are_augmented_by_epoch_and_example_and_go_on_after_a_resume():
    data, parts = tiny_data((3, 8, 8)), split(120, 0)
    augmentation = Augmentation(True, 2, KEY, data.normalisation.fill)

    def from_step(first: int) -> list[torch.Tensor]:
        stream = batches(data, parts, 0, 16, first, augmentation=augmentation)
        return [x for _, (x, _) in zip(range(first, 20), stream, strict=False)]

    whole = from_step(0)
    for step in (0, 5, 6, 14):
        epoch, position = divmod(step, 6)
        chosen = epoch_batches(parts, 0, epoch, 16)[position]
        drawn = torch.from_numpy(augmentation.draw(epoch, chosen))
        assert torch.equal(whole[step], augmentation.apply(data.train_images[chosen], drawn))
    for first in (1, 6, 11):
        assert all(torch.equal(a, b) for a, b in zip(whole[first:], from_step(first), strict=True))


def test_the_data_set_itself_is_never_touched():
    data, parts = tiny_data((3, 8, 8)), split(120, 0)
    before = data.train_images.clone()
    stream = batches(data, parts, 0, 16, 0, augmentation=Augmentation(True, 2, KEY, (0.0, 0.0, 0.0)))
    for _, (batch, _) in zip(range(8), stream, strict=False):
        batch.fill_(9)
    assert torch.equal(data.train_images, before)
