"""Normalisation by exact integers, the split by seed, and equal batches for all who share a replicate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lth_core.data import batches, epoch_batches, load, split
from lth_core.errors import UserError
from lth_core.normalisation import Normalisation, channel_statistics
from tests.support.tiny import tiny_arrays, tiny_data, tiny_info


def test_statistics_are_those_of_the_training_bytes():
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 5, 4)).astype(np.uint8)
    mean, std = channel_statistics(images)
    assert mean == pytest.approx(images.mean((0, 2, 3)), rel=1e-14)
    assert std == pytest.approx(images.astype(np.float64).std((0, 2, 3)), rel=1e-12)


def test_normalised_training_images_have_mean_0_and_deviation_1_per_channel():
    images = np.random.default_rng(0).integers(0, 256, (200, 3, 5, 4)).astype(np.uint8)
    out = Normalisation.of("standard", images).apply(images).astype(np.float64)
    assert out.mean((0, 2, 3)) == pytest.approx([0, 0, 0], abs=1e-6)
    assert out.std((0, 2, 3)) == pytest.approx([1, 1, 1], abs=1e-6)


def test_a_channel_that_never_changes_becomes_zero():
    images = np.full((4, 1, 2, 2), 9, dtype=np.uint8)
    assert not Normalisation.of("standard", images).apply(images).any()


def test_a_unit_range_is_the_byte_over_255_rounded_once():
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(2, axis=1)
    found = Normalisation.of("unit_range", images).apply(images)
    assert np.array_equal(found, (images / 255).astype(np.float32))
    assert found.dtype == np.float32


def test_under_a_unit_norm_every_picture_has_length_1_whatever_its_brightness_and_a_black_one_stays_black():
    images = np.random.default_rng(0).integers(0, 256, (9, 3, 5, 4)).astype(np.uint8)
    images[4] //= 3
    images[7] = 0
    found = Normalisation.of("unit_norm", images[:2]).apply(images)
    assert not found[7].any()
    bright = [i for i in range(9) if i != 7]
    assert np.sqrt(np.square(found[bright].astype(np.float64)).sum((1, 2, 3))) == pytest.approx([1] * 8, abs=1e-6)
    exact = images[bright] / np.sqrt(np.square(images[bright].astype(np.float64)).sum((1, 2, 3), keepdims=True))
    assert np.abs(found[bright] - exact).max() < 1e-7


def test_a_document_names_every_normalisation_but_the_default_one():
    images = np.full((4, 2, 2, 2), 9, dtype=np.uint8)
    assert Normalisation.of("standard", images).document() == {"mean": [9.0, 9.0], "std": [0.0, 0.0]}
    said = Normalisation.of("unit_range", images).document()
    assert said == {"kind": "unit_range", "mean": [0.0, 0.0], "std": [255.0, 255.0]}


def test_loading_normalises_the_test_images_by_the_training_images():
    arrays, data = tiny_arrays(), tiny_data()
    rule = Normalisation.of("standard", arrays["train_images"])
    assert data.normalisation == rule
    assert np.array_equal(data.test_images.numpy(), rule.apply(arrays["test_images"]))
    assert data.train_labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train_images", lambda a: a.astype(np.float32), "uint8"),
        ("train_images", lambda a: a[:-1], "train_images"),
        ("test_images", lambda a: a[:, 0], "test_images"),
        ("train_labels", lambda a: a.astype(np.int32), "int64"),
        ("test_labels", lambda a: a + 3, "test_labels must be >= 0 and < 3"),
    ],
)
def test_arrays_that_are_not_what_the_description_says_are_refused(name, change, message):
    arrays = tiny_arrays()
    with pytest.raises(UserError, match=message):
        load(tiny_info(), {**arrays, name: change(arrays[name])})
    with pytest.raises(UserError, match="must have the arrays"):
        load(tiny_info(), {k: v for k, v in arrays.items() if k != name})


@pytest.mark.parametrize(("num_train", "num"), [(60_000, 5_000), (50_000, 5_000), (1_437, 143), (120, 12)])
def test_validation_is_5000_examples_or_a_tenth_of_a_small_set(num_train, num):
    parts = split(num_train, 0)
    assert len(parts.validation) == num
    assert sorted([*parts.fit, *parts.validation]) == list(range(num_train))


def test_the_split_follows_from_the_replicate():
    assert split(1000, 3).validation_sha256 == split(1000, 3).validation_sha256
    assert len({split(1000, r).validation_sha256 for r in range(10)}) == 10


def test_an_epoch_shows_every_fitted_example_at_most_once_and_drops_the_short_last_batch():
    parts = split(120, 0)
    order = epoch_batches(parts, 0, 0, 16)
    assert order.shape == (108 // 16, 16)
    assert len(set(order.ravel())) == order.size
    assert set(order.ravel()) <= set(parts.fit)


def test_epochs_and_replicates_have_orders_of_their_own():
    parts = split(120, 0)
    orders = {tuple(epoch_batches(parts, r, e, 16).ravel()) for r in range(3) for e in range(3)}
    assert len(orders) == 9


def test_batches_from_a_later_step_are_those_of_a_training_that_began_at_zero():
    data, parts = tiny_data(), split(120, 0)
    whole = [labels for _, (_, labels) in zip(range(30), batches(data, parts, 0, 16, 0), strict=False)]
    for first in (1, 6, 7, 20):
        later = [labels for _, (_, labels) in zip(range(first, 30), batches(data, parts, 0, 16, first), strict=False)]
        assert all(torch.equal(a, b) for a, b in zip(whole[first:], later, strict=True))


def test_another_order_stream_gives_other_batches_of_the_same_examples():
    parts = split(120, 0)
    usual, other = (epoch_batches(parts, 0, 0, 108, name) for name in ("order", "order:reordered:0"))
    assert not np.array_equal(usual, other)
    assert sorted(usual.ravel()) == sorted(other.ravel()) == sorted(parts.fit)
    data = tiny_data()
    images, labels = next(batches(data, parts, 0, 16, 0, order="order:reordered:0"))
    chosen = epoch_batches(parts, 0, 0, 16, "order:reordered:0")[0]
    assert torch.equal(images, data.train_images[chosen])
    assert torch.equal(labels, data.train_labels[chosen])
